"""A picture of FiftyOne's App on a dataset: `python tools/screenshot.py DATASET OUT.png [--sample 0]`."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import fiftyone as fo

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def chromium() -> str | None:
    """The browser on this machine, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def open_app(dataset: fo.Dataset, *, size: tuple[int, int] = (1600, 1000)) -> Iterator[Any]:
    """A playwright page with the App on `dataset`, its grid loaded; everything is closed at the end."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    colors = fo.ColorScheme(color_by="value", opacity=0.45)
    session = fo.launch_app(dataset, remote=True, port=port, address="127.0.0.1", color_scheme=colors)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS.split())
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            _wait_for_server(page, f"http://127.0.0.1:{port}/datasets/{quote(dataset.name)}")
            page.wait_for_selector("text=Samples", timeout=60_000)
            page.wait_for_selector('[data-cy="looker"] canvas', timeout=30_000)
            with contextlib.suppress(Exception):
                page.get_by_text("Dismiss").click(timeout=1_000)
            yield page
            browser.close()
    finally:
        session.close()
        fo.close_app()


def _wait_for_server(page: Any, url: str, seconds: int = 60) -> None:
    from playwright.sync_api import Error

    for attempt in range(seconds):
        try:
            page.goto(url, timeout=30_000)
            return
        except Error:
            if attempt == seconds - 1:
                raise
            page.wait_for_timeout(1_000)


def open_sample(page: Any, index: int) -> None:
    """Open one sample of the grid large."""
    page.locator('[data-cy="looker"]').nth(index).click()
    page.wait_for_selector('[data-cy="modal"] canvas', timeout=30_000)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--sample", type=int, help="open this sample of the grid, counted from 0")
    parser.add_argument("--size", type=int, nargs=2, default=(1600, 1000), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--fields", nargs="+", help="show these label fields only")
    args = parser.parse_args()
    dataset = fo.load_dataset(args.dataset)
    if args.fields:
        dataset.app_config.active_fields = fo.ActiveFields(paths=args.fields)
        dataset.save()
    with open_app(dataset, size=tuple(args.size)) as page:
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
