"""A picture of FiftyOne's App on a dataset: `python tools/screenshot.py DATASET OUT.png [--sample 0]`."""

from __future__ import annotations

import argparse
import contextlib

import fiftyone as fo

from tools.app import SIZE, browse, open_sample, serve, visit


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--sample", type=int, help="open this sample of the grid, counted from 0")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--fields", nargs="+", help="show these label fields only")
    args = parser.parse_args()
    dataset = fo.load_dataset(args.dataset)
    if args.fields:
        dataset.app_config.active_fields = fo.ActiveFields(paths=args.fields)
        dataset.save()
    with serve(dataset) as session, browse(tuple(args.size)) as page:
        visit(page, session, dataset)
        if args.sample is not None:
            open_sample(page, args.sample)
        page.wait_for_timeout(4_000)
        with contextlib.suppress(Exception):  # what is asked about cookies on the first start
            page.get_by_text("Disable", exact=True).click(timeout=2_000)
        for field in (args.fields or []) if args.sample is None else []:
            page.locator(f'[data-cy="sidebar-field-arrow-enabled-{field}"]').first.click()
        page.mouse.move(args.size[0] - 5, args.size[1] - 5)
        page.wait_for_timeout(1_500)
        page.screenshot(path=args.out)


if __name__ == "__main__":
    main()
