"""Both pipelines on drawn scenes with small trained models: a dataset and its scores, in a minute and a half."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone import ViewField as F

from fiftyone_ssa.errors import InputError, OtherSettingsError
from fiftyone_ssa.exports.coco import export_coco
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.documents import (
    mask_set_from_detections,
    mask_targets,
    masks_document,
    segmentation_document,
)
from fiftyone_ssa.labels.evaluation import evaluate
from fiftyone_ssa.naming.arguments import check_count, check_device
from fiftyone_ssa.plugin import install_plugin, plugin_status
from fiftyone_ssa.quickstart.scenes import Scene, class_names, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW, Tally

DATASET = "ssa-quickstart"
Say = Callable[[str], None]


@dataclass
class Report:
    """What the quickstart found; shares are 0 to 1."""

    samples: int
    masks: int = 0
    things_found: float = 0.0
    """Share of whole objects that SAM has a mask of, at IoU 0.75."""
    parts_found: float = 0.0
    """Share of parts of 64 pixels or more that SAM has a mask of, at IoU 0.75."""
    branch_miou: float = 0.0
    """mIoU of the segmenter alone, over ADE20K's names."""
    ssa_miou: float = 0.0
    named: float = 0.0
    """Share of the masks whose name by SSA-engine is right: a part must be called by the part's name."""
    things_named: float = 0.0
    """Share of whole objects that have a mask with a right name by SSA-engine."""
    outside_named: float = 0.0
    """The same of those that no closed set has a name for."""
    coco_path: Path = field(default_factory=Path)
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    """Image path to reason, for every image that failed."""

    def __str__(self) -> str:
        rows = [
            ("masks", f"{self.masks:,} in {self.samples} scenes"),
            ("whole objects found by SAM", f"{self.things_found:.1%}"),
            ("parts found by SAM", f"{self.parts_found:.1%}"),
            ("mIoU of the segmenter alone", f"{self.branch_miou:.3f}"),
            ("mIoU of SSA", f"{self.ssa_miou:.3f}"),
            ("masks rightly named by SSA-engine", f"{self.named:.1%}"),
            ("whole objects rightly named", f"{self.things_named:.1%}"),
            ("of those in no closed set", f"{self.outside_named:.1%}"),
            ("COCO file", str(self.coco_path)),
            ("seconds", f"{self.seconds:.0f}"),
        ]
        return "\n".join(f"{name:<36}{value}" for name, value in rows)


@needs_database()
def quickstart(samples: int = 50, *, device: str = "auto", progress: bool = True, say: Say = print) -> Report:
    """Fill the dataset `ssa-quickstart` with `samples` drawn scenes and label it with `mini-ssa` and `mini-engine`.

    Fields: `ground_truth` (class map) and `regions` (every thing and part) are the truth; `ssa`, `ssa_semantic` and
    `ssa_branch` are SSA's, whose masks are a small SAM's; `engine` is SSA-engine's, on the same masks.
    Evaluations `branch` and `ssa` are stored, and a COCO file is written beside the images, in FiftyOne's default
    dataset folder. What is done is not done again.
    Raises InputError if an argument is wrong, before anything is drawn, or if another dataset has that name.
    """
    check_count("samples", samples)
    check_device(device)
    started = time.perf_counter()
    folder = Path(fo.config.default_dataset_dir) / "fiftyone-ssa" / "quickstart"
    say(f"{samples} scenes in the dataset {DATASET}")
    dataset = _dataset(folder, samples)
    view = dataset.match(F("seed") < samples).sort_by("seed")
    report = Report(samples)
    say("SSA: SAM's masks, each named by a vote over a coarse segmenter (preset mini-ssa)")
    options = {"device": device, "progress": progress}
    report.errors |= _name_masks(view, "mini-ssa", say, keep_branch=True, **options)
    say("SSA-engine: the same masks, with names from two segmenters and captions (preset mini-engine)")
    engine = {"label_field": "engine", "masks_field": "ssa", "batch_size": 8}
    report.errors |= _name_masks(view, "mini-engine", say, **engine, **options)
    report.masks = view.count("engine.detections")
    for key, pred_field in (("branch", "ssa_branch"), ("ssa", "ssa_semantic")):
        miou = evaluate(view, pred_field, eval_key=key, progress=False).scores.mean_iou
        setattr(report, f"{key}_miou", miou)
    _judge(view, report)
    # Not "coco": quickstarts before exports had a marker left a folder of that name, which counts as someone else's.
    report.coco_path = export_coco(
        view, folder / "export", label_field="engine", overwrite=True, progress=False
    ).labels_path
    report.seconds = time.perf_counter() - started
    return report


def _name_masks(view: fo.DatasetView, preset: str, say: Say, **options: Any) -> dict[str, str]:
    """Run a preset and answer its errors; what was named by other settings is named anew, as asked by a quickstart."""
    try:
        return annotate(view, preset, **options).errors
    except OtherSettingsError:  # an earlier version's, most likely
        say("these masks were named by other settings: they are named anew, and what people touched stays")
        return annotate(view, preset, overwrite=True, **options).errors


def open_app(say: Say = print) -> None:
    """Open the App on the quickstart's dataset, the panel "Masks" beside its samples, and wait until it is closed.

    The plugin is installed first, unless FiftyOne has a copy of it. The App listens on 127.0.0.1, unless
    FIFTYONE_DEFAULT_APP_ADDRESS names another address.
    """
    status = plugin_status()
    say(f"the App's plugin: {status}" if status.installed else f"the App's plugin is installed: {install_plugin()}")
    address = os.environ.get("FIFTYONE_DEFAULT_APP_ADDRESS") or "127.0.0.1"
    session = fo.launch_app(fo.load_dataset(DATASET), address=address, spaces=workspace())
    say(f"the App is at {session.url}; close it, or press Ctrl-C, to end")
    with contextlib.suppress(KeyboardInterrupt):
        session.wait(-1)


def workspace() -> fo.Space:
    """The samples, and beside them the panel "Masks" with "Review masks" behind it."""
    sides = [[fo.Panel(type="Samples", pinned=True)], [fo.Panel(type="masks"), fo.Panel(type="review_masks")]]
    return fo.Space(
        children=[fo.Space(children=panels, active_child=panels[0].component_id) for panels in sides],
        orientation="horizontal",
        sizes=[0.6, 0.4],
    )


def draw(seed: int) -> Scene:
    """The quickstart's scene of a seed (0, 1, ...)."""
    return draw_scene(seed, SIZES_HW[seed % len(SIZES_HW)])


def _dataset(folder: Path, samples: int) -> fo.Dataset:
    """The dataset with scenes 0 to `samples` - 1 at least; those that are there stay as they are."""
    if fo.dataset_exists(DATASET):
        dataset = fo.load_dataset(DATASET)
        if dataset.info.get("made_by") != "fiftyone-ssa quickstart":
            raise InputError(f"a dataset {DATASET!r} exists that the quickstart did not make; rename it first")
    else:
        dataset = fo.Dataset(DATASET, persistent=True)
        dataset.info = {"made_by": "fiftyone-ssa quickstart"}
        dataset.mask_targets = {"ground_truth": mask_targets(class_names("ade20k"))}
        dataset.save()
    known = set(dataset.values("seed")) if dataset.has_field("seed") else set()
    new = []
    for seed in range(samples):
        image_path, truth_path = folder / f"scene-{seed:04}.png", folder / "truth" / f"scene-{seed:04}.png"
        if seed in known and image_path.exists() and truth_path.exists():
            continue
        scene = draw(seed)
        save_png(scene.image, image_path)
        os.utime(image_path, ns=(0, 0))  # a scene is the same whenever it is drawn: its labels need not be made again
        truth = segmentation_document(scene.semantic("ade20k"), truth_path)
        if seed in known:
            continue
        names = [node.name for node in scene.regions()]
        regions = masks_document(scene.mask_set(), folder / "regions" / f"{seed:04}", {"label": names})
        new.append(
            fo.Sample(
                filepath=str(image_path),
                seed=seed,
                setting=scene.setting,
                ground_truth=fo.Segmentation.from_dict(truth),
                regions=fo.Detections.from_dict(regions),
            )
        )
    if new:
        dataset.add_samples(new, progress=False)
    return dataset


def _judge(view: Any, report: Report) -> None:
    """Compare SAM's masks and SSA-engine's names with the scenes' truth."""
    tally = Tally()
    for seed, label in zip(*view.values(["seed", "engine"]), strict=True):
        scene, detections = draw(seed), label or fo.Detections()
        labels = [detection.label for detection in detections.detections]
        proposals = [
            detection.get_attribute_value("class_proposals", None) or () for detection in detections.detections
        ]
        tally.add(scene, mask_set_from_detections(detections, scene.size_hw), labels, proposals)
    report.things_found, report.parts_found = (_share(tally.found[group]) for group in ("things", "parts"))
    report.named = _share(tally.named["masks named"])
    report.things_named = _share(tally.named["things named"])
    report.outside_named = _share(tally.named["outside named"])


def _share(values: list[bool]) -> float:
    return float(np.mean(values)) if values else 0.0
