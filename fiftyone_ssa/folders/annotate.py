"""Files in, files out, no database: every image of a folder through a preset's pipeline."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.image_folder import ImageFolder
from fiftyone_ssa.folders.output import Output
from fiftyone_ssa.folders.result_folder import ResultFolder
from fiftyone_ssa.models.factories import tell_whose_code
from fiftyone_ssa.naming import arguments
from fiftyone_ssa.naming.run import Summary, overlap, run
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Result

logger = logging.getLogger(__name__)


def annotate_files(
    data_dir: str | Path,
    out_dir: str | Path,
    preset: str | Path | Preset,
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 4,
    limit: int | None = None,
    overwrite: bool = False,
    save_images: bool = False,
    branch_dir: str | Path | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
    say: Callable[[str], object] = logger.info,
) -> Summary:
    """Write `<stem>_semantic.json` into `out_dir` for every image in `data_dir` (or that one image), sub-folders kept.

    Finished images are skipped; one whose files changed, or whose results are gone, is done again, and one that fails
    is in the summary with its reason while the others go on. A preset with `"module:factory"` runs that code.

    Args:
        data_dir: a folder of images, searched with its sub-folders, or one image
        out_dir: where results go; one run at a time writes there, and its results are of one kind of settings
        preset: the name of a preset, a TOML file, or a Preset
        device ("auto"): auto (CUDA if there is a GPU, else the CPU), cpu, cuda, cuda:N or mps
        dtype ("auto"): auto (bfloat16 on a GPU, float32 on the CPU), float32, bfloat16 or float16
        batch_size (4): images at a time
        limit (None): only the first so many images
        overwrite (False): whether to do finished images again, and replace results of other settings; a run that was
            killed goes on
        save_images (False): whether to add `<stem>_overlay.jpg`, a picture with masks and names
        branch_dir (None): a folder for the segmenter's own class map of each image in the same form (SSA only)
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        progress (True): whether to show a bar
        say (a log message): told, before models are loaded, whose code the preset names

    Raises InputError for a wrong argument or preset, no image, a folder that holds results of other settings or that
    another run writes to, or if results can no longer be written; DeviceLostError if the GPU fails,
    what was done before is kept.
    """
    data, out = arguments.check_path("data_dir", data_dir), arguments.check_path("out_dir", out_dir)
    branch = None if branch_dir is None else arguments.check_path("branch_dir", branch_dir)
    device, dtype = arguments.check_device(device), arguments.check_dtype(dtype)
    batch_size, limit = arguments.check_batch_size(batch_size), arguments.check_limit(limit)
    overwrite = arguments.check_flag("overwrite", overwrite)
    save_images = arguments.check_flag("save_images", save_images)
    progress = arguments.check_flag("progress", progress)
    trust_remote_code = arguments.check_flag("trust_remote_code", trust_remote_code)
    chosen = load_preset(preset)
    _check_fit(chosen, out, branch)
    images = ImageFolder(data, needs_masks=chosen.masks.source == "existing", results=out)
    images.check()
    settings = settings_stamp(chosen)
    with Output(
        ResultFolder(out, chosen, settings, overwrite=overwrite),
        ResultFolder(branch, chosen, settings, overwrite=overwrite) if branch is not None else None,
        save_images=save_images,
        needs_masks=images.needs_masks,
        reads_names=chosen.masks.names == "proposed",
        levels=chosen.masks.levels == "written",
        keeps_header=chosen.pipeline == "engine",
    ) as output:
        todo = output.count(islice(images, limit))
        for folder, reason in images.left_out.items():
            logger.warning("%s is left out: %s", folder, reason)
        output.summary.notes = images.notes()
        if todo or output.is_unended:
            output.claim()
            if todo:
                tell_whose_code(chosen, trust_remote_code, say)
                from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

                pipeline = build_pipeline(
                    chosen,
                    device=device,
                    dtype=dtype,
                    trust_remote_code=trust_remote_code,
                    keep_branch=branch is not None,
                )
                output.begin(settings if settings.known else settings_stamp(chosen))
                tasks = output.tasks(islice(images, limit))
                results = run(tasks, pipeline, batch_size=batch_size, keep_inputs=save_images)
                with closing(overlap(results, output.write, capacity=2 if save_images else 8)) as written:
                    _consume(written, todo, output.summary, progress)
            if outdated := output.end():
                logger.warning("%s still holds %d results of before --overwrite, not redone by this run", out, outdated)
            output.summary.tell_bad_masks()
        return output.summary


def _check_fit(preset: Preset, out: Path, branch: Path | None) -> None:
    if preset.pipeline == "ssa" and preset.semantic.source == "field":
        raise InputError('semantic.source = "field" needs a FiftyOne dataset; set it to "model"')
    if branch is not None and preset.pipeline != "ssa":
        raise InputError(f"{preset.name} has no segmenter's own map to save; leave the branch's folder out")
    if branch is not None and branch.resolve() == out.resolve():
        raise InputError(f"the segmenter's own map cannot go to the folder of the results, {out}; name another one")


def _consume(results: Iterator[Result], total: int, summary: Summary, progress: bool) -> None:
    started = time.perf_counter()
    every_s = 0.1 if sys.stderr.isatty() else 60  # a log needs no line a second
    with tqdm(
        results,
        total=total,
        unit="image",
        smoothing=0.05,
        mininterval=every_s,
        maxinterval=max(10, every_s),
        disable=not progress,
    ) as bar:
        for _ in bar:
            if summary.errors:
                bar.set_postfix(failed=len(summary.errors), refresh=False)
    summary.seconds = time.perf_counter() - started
