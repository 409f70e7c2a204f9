"""Files in, files out, no database: every image of a folder through a preset's pipeline."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders.image_folder import OVERLAY_ENDING, RESULT_ENDING, ImageFile, ImageFolder
from fiftyone_ssa.folders.result_folder import ResultFolder
from fiftyone_ssa.folders.sa1b_json import annotation_record, map_record, read_masks
from fiftyone_ssa.naming.run import Summary, Task, overlap, run
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Annotation, Inputs, Result

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
) -> Summary:
    """Write `<stem>_semantic.json` into `out_dir` for every image in `data_dir` (or that one image), sub-folders kept.

    `limit` takes the first images only. `save_images` adds `<stem>_overlay.jpg`; `branch_dir` takes the segmenter's
    own class map of each image in the same form, to be evaluated beside the refined one. Finished images are skipped
    unless `overwrite`; one that fails is in the summary with its reason, and the others go on.
    Raises InputError for a bad preset, no image, results of another preset there, or a file that cannot be written.
    """
    chosen = load_preset(preset)
    if chosen.pipeline == "ssa" and chosen.semantic.source == "field":
        raise InputError('semantic.source = "field" needs a FiftyOne dataset; set it to "model"')
    if branch_dir is not None and (chosen.pipeline != "ssa" or Path(branch_dir).resolve() == Path(out_dir).resolve()):
        raise InputError("the segmenter's own map needs an SSA preset and a folder other than that of the results")
    images = ImageFolder(Path(data_dir), needs_masks=chosen.masks.source == "existing", results=Path(out_dir))
    images.check()
    output = _Output(
        images,
        chosen,
        ResultFolder(Path(out_dir), chosen, overwrite=overwrite),
        ResultFolder(Path(branch_dir), chosen, overwrite=overwrite) if branch_dir is not None else None,
        save_images,
    )
    finished = [output.is_finished(image.id) for image in islice(images, limit)]
    todo = finished.count(False)
    for folder, reason in images.left_out.items():
        logger.warning("%s is left out: %s", folder, reason)
    summary = Summary(skipped=finished.count(True), notes=images.notes())
    if todo:
        from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch, which a finished folder does not need

        pipeline = build_pipeline(
            chosen, device=device, dtype=dtype, trust_remote_code=trust_remote_code, keep_branch=branch_dir is not None
        )
        output.begin()
        tasks = (
            Task(image.id, partial(_read, image, images.needs_masks))
            for image in islice(images, limit)
            if not output.is_finished(image.id)
        )
        results = run(tasks, pipeline, batch_size=batch_size, keep_inputs=save_images)
        _consume(overlap(results, output.write, capacity=2 if save_images else 8), todo, summary, progress)
    if outdated := output.results.outdated():
        logger.warning("%s still holds %d results of before --overwrite, of images not in this run", out_dir, outdated)
    return summary


def _consume(results: Iterator[Result], total: int, summary: Summary, progress: bool) -> None:
    started = time.perf_counter()
    with tqdm(results, total=total, unit="image", smoothing=0.05, disable=not progress) as bar:
        for result in bar:
            summary.add(result)
            if result.error:
                bar.set_postfix(failed=len(summary.errors), refresh=False)
    summary.seconds = time.perf_counter() - started


def _read(image: ImageFile, needs_masks: bool) -> Inputs:
    if image.problem:
        raise InputError(image.problem)
    pixels = read_image(image.path)
    masks = read_masks(image.masks_path, (pixels.shape[0], pixels.shape[1])) if needs_masks else None
    return Inputs(pixels, masks)


@dataclass(frozen=True)
class _Output:
    """What is written of each image, and where."""

    images: ImageFolder
    preset: Preset
    results: ResultFolder
    branches: ResultFolder | None
    save_images: bool

    def begin(self) -> None:
        """Make the folders ready to be written."""
        for folder in filter(None, (self.results, self.branches)):
            folder.begin()

    def is_finished(self, image_id: str) -> bool:
        """Whether every file of an image is there."""
        overlay = not self.save_images or self.results.is_finished(image_id, OVERLAY_ENDING)
        branch = self.branches is None or self.branches.is_finished(image_id)
        return overlay and branch and self.results.is_finished(image_id)

    def write(self, result: Result) -> None:
        """Write one image's files, the JSON that marks it as finished last."""
        if result.annotation is None:
            return
        if self.save_images and result.inputs is not None:
            from fiftyone_ssa.folders.overlay import overlay_jpeg

            self.results.write(result.id, OVERLAY_ENDING, overlay_jpeg(result.inputs.image, result.annotation))
        if self.branches and result.annotation.branch is not None:
            self.branches.write(result.id, RESULT_ENDING, _json(map_record(result.annotation.branch)))
        header = self._header(result.id, result.annotation) if self.preset.pipeline == "engine" else None
        self.results.write(result.id, RESULT_ENDING, _json(annotation_record(result.annotation, header)))

    def _header(self, image_id: str, annotation: Annotation) -> Mapping[str, Any]:
        """The `image` of the source's mask file, or the same made from what is known."""
        image = self.images.image(image_id)
        known = read_json(image.masks_path).get("image") if self.images.needs_masks else None
        height, width = annotation.masks.size_hw
        return known if isinstance(known, dict) else {"width": width, "height": height, "file_name": image.path.name}


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode()
