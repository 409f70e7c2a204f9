"""How good the small models are on drawn scenes that they never saw; a change that harms quality shows here.

    python -m benchmarks.quality [--scenes 200] [--set masks.model=FOLDER] [--write docs/quickstart.md]

masks: SAM's everything-mode, the share of whole objects and of parts found at IoU 0.75.
ssa: mIoU of the closed-set branch alone and after voting. engine: the share of whole objects rightly named.
Both on SAM's masks, which is what a user gets, and on the scenes' own, which tells names from masks.
Prints one JSON object; `--write` makes the page that the repository keeps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.masks.containment import contain
from fiftyone_ssa.masks.miou import Scores, confusion_matrix
from fiftyone_ssa.models.devices import pick_device, pick_dtype
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.part_names import nested
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import Preset, load_preset, parse_override
from fiftyone_ssa.presets.settings import FILTER
from fiftyone_ssa.quickstart.scenes import KINDS, Scene, class_names, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import (
    FOUND,
    NAMED_ON,
    PARTS_PX,
    SIZES_HW,
    Tally,
    ious,
    levels_right,
)
from fiftyone_ssa.types import Annotation, Inputs, MaskSet

FIRST_SEED = 5_000
"""Neither the quickstart's scenes (from 0) nor those that were trained on (from 1,000,000)."""
DECISIONS: Mapping[str, Mapping[str, str]] = {
    "published": {"open_vocabulary.decision": "published"},
    "filter": {"open_vocabulary.decision": "published", "open_vocabulary.decider": FILTER},
    "fused": {"open_vocabulary.decision": "fused"},
    "published, parts": {"open_vocabulary.decision": "published", "open_vocabulary.parts": "context"},
    "fused, parts": {"open_vocabulary.decision": "fused", "open_vocabulary.parts": "context"},
}
"""Ways to decide that the engine's names are compared by, as changes to its preset."""
SOURCES = "sam", "own"
"""Whose masks are named: SAM's, or the scene's own."""
STABLE = 0.92
"""Stability of the masks that published presets keep; the small SAM's are kept from 0.4 on."""


def scenes(count: int) -> Iterator[Scene]:
    """The scenes that are measured on."""
    for index in range(count):
        yield draw_scene(FIRST_SEED + index, SIZES_HW[index % len(SIZES_HW)])


class SsaQuality:
    """mIoU (ADE20K's names) of the branch and of SSA."""

    def __init__(self) -> None:
        self.names = class_names("ade20k")
        self.matrices = {
            which: np.zeros((len(self.names), len(self.names) + 1), np.int64) for which in ("branch", "ssa")
        }
        self.scenes = 0

    def add(self, scene: Scene, answer: Annotation) -> None:
        """Count one scene."""
        truth = scene.semantic("ade20k").ids
        self.scenes += 1
        for which, found in (("branch", answer.branch), ("ssa", answer.semantic)):
            if found is None:
                raise ValueError("build the pipeline with keep_branch=True")
            self.matrices[which] += confusion_matrix(truth, found.ids, len(self.names))

    def answer(self) -> dict[str, Any]:
        """mIoU of both, the difference, and both IoU by class."""
        scores = {which: Scores(self.names, matrix, self.scenes) for which, matrix in self.matrices.items()}
        miou = {which: round(score.mean_iou, 4) for which, score in scores.items()}
        classes = {name: [round(float(s.iou[i]), 3) for s in scores.values()] for i, name in enumerate(self.names)}
        return {"miou": miou, "gain": round(miou["ssa"] - miou["branch"], 4), "classes": classes}


class LevelQuality:
    """The share of masks whose level is right: all, those of published stability, and by pixels alone."""

    def __init__(self) -> None:
        self.right: dict[str, list[bool]] = {}

    def add(self, scene: Scene, masks: MaskSet, labels: Sequence[str | None]) -> None:
        """Count one scene's masks with the names that the engine gave them."""
        stable = np.flatnonzero(np.nan_to_num(masks.stability_score, nan=1.0) >= STABLE)
        every = np.arange(len(masks))
        for what, rows, named in (("all", every, True), ("unnamed", every, False), ("stable", stable, True)):
            chosen = masks[rows]
            found = nested(chosen, [labels[i] for i in rows.tolist()]) if named else contain(chosen)
            levels, fits = [found.level(i) for i in range(len(chosen))], ious(scene, chosen)
            for of_found in (False, True):
                key = f"{what}, of those with a mask" if of_found else what
                self.right.setdefault(key, []).extend(levels_right(scene, fits, levels, of_found=of_found))

    def answer(self) -> dict[str, Any]:
        """Shares, and the number of masks."""
        return {**_means(self.right), "masks": len(self.right.get("all", ()))}


def mask_answer(tally: Tally) -> dict[str, Any]:
    """Recall of the masks at IoU 0.75 and how many regions were asked for, by group."""
    asked = {group: len(values) for group, values in sorted(tally.found.items())}
    return {"recall": _means(tally.found), "asked": asked, "masks_per_scene": float(np.mean(tally.masks))}


def engine_answer(tally: Tally) -> dict[str, Any]:
    """All shares of names, and the share named with the number of things by kind."""
    kinds = {kind: [share, len(tally.kinds[kind])] for kind, share in _means(tally.kinds).items()}
    return {"things": len(tally.named["things named"]), **_means(tally.named), "kinds": kinds}


def decision_answer(tally: Tally) -> dict[str, float]:
    """The shares of right names: of whole objects that a mask fits, of masks of parts, and of all masks."""
    named = _means(tally.named)
    wanted = {
        "wholes": "named where there is a mask",
        "masks of wholes": "whole masks named",
        "parts": "part masks named",
        "all": "masks named",
    }
    return {short: named[name] for short, name in wanted.items() if name in named}


def _means(groups: Mapping[str, list[bool]]) -> dict[str, float]:
    return {group: round(float(np.mean(values)), 4) for group, values in sorted(groups.items())}


def measure(
    count: int,
    *,
    ssa: str = "mini-ssa",
    engine: str = "mini-engine",
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    decisions: Sequence[str] = tuple(DECISIONS),
) -> dict[str, Any]:
    """Everything of `count` scenes, both pipelines on the same masks: of `ssa`'s SAM, and the scenes' own."""
    presets = load_preset(ssa, overrides), load_preset(engine, overrides)
    where = pick_device(device)
    generator = load_mask_generator(presets[0].masks, where, pick_dtype("auto", where))
    # masks are given to all, so that none is made twice
    voter, *deciders = (
        build_pipeline(
            load_preset(preset, {"masks.source": "existing", **changes}), device=device, keep_branch=not changes
        )
        for preset, changes in ((presets[0], {}), *((presets[1], DECISIONS[name]) for name in decisions))
    )
    engines = dict(zip(decisions, deciders, strict=True))
    qualities = {source: (SsaQuality(), {name: Tally() for name in decisions}) for source in SOURCES}
    own, levels = _decision_of(presets[1]), {source: LevelQuality() for source in SOURCES}
    seconds = {source: dict.fromkeys(("masks", "ssa", *decisions), 0.0) for source in SOURCES}
    drawn = scenes(count)
    while batch := list(islice(drawn, 8)):
        for source, (quality, tallies) in qualities.items():
            clock = _Clock(seconds[source])
            with clock("masks"):
                masks = [generator(scene.image) if source == "sam" else scene.mask_set() for scene in batch]
            inputs = [Inputs(scene.image, found) for scene, found in zip(batch, masks, strict=True)]
            with clock("ssa"):
                voted = voter(inputs)
            for scene, answer in zip(batch, voted, strict=True):
                quality.add(scene, answer)
            for decision, engine_of_it in engines.items():
                with clock(decision):
                    named = engine_of_it(inputs)
                for scene, names in zip(batch, named, strict=True):
                    proposed = [proposals.names for proposals in names.proposals]
                    tallies[decision].add(scene, names.masks, names.labels, proposed)
                    if decision == own:
                        levels[source].add(scene, names.masks, names.labels)
    scored = {
        source: {
            "cpu_seconds_per_scene": {key: round(spent / count, 3) for key, spent in seconds[source].items()},
            "masks": mask_answer(tallies[own]),
            "ssa": quality.answer(),
            "levels": levels[source].answer(),
            "engine": engine_answer(tallies[own]),
            "decisions": {decision: decision_answer(tally) for decision, tally in tallies.items()},
        }
        for source, (quality, tallies) in qualities.items()
    }
    return {"scenes": count, "decision": own, **scored}


class _Clock:
    """Adds the CPU seconds of what is done inside to a table's entry."""

    def __init__(self, table: dict[str, float]) -> None:
        self._table = table

    @contextmanager
    def __call__(self, key: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self._table[key] += time.process_time() - began


def _decision_of(preset: Preset) -> str:
    chosen = preset.open_vocabulary
    if chosen.decision == "published" and chosen.decider == FILTER:
        return "filter"
    return f"{chosen.decision}, parts" if chosen.parts == "context" else chosen.decision


PAGE = """# Scores of the small models

Made by `make scores` (`python -m benchmarks.quality --scenes {scenes} --write docs/quickstart.md`): {scenes} drawn
scenes from seed {first:,}, which neither training (seeds from 1,000,000) nor the quickstart (from 0) uses. On SAM's
masks, as in `make quickstart`, and on the scenes' own, so that names are measured without the masks' faults.

| | SAM's masks | the scenes' own |
|---|---|---|
{rows}

An object that no mask fits counts as wrongly named. Objects of which less than 30 % is seen, and parts of fewer than
{parts_px} pixels, are not asked for.

## SSA-engine: ways to decide

Shares of right names among masks that fit: whole objects by the mask that fits each best, though it may fit a part of
it better (a balloon by the mask of its envelope); masks that fit a whole best; those of parts; all. CPU seconds a
scene, masks not counted.
Everything above is of `decision = "{decision}"`, the preset's own.

| | SAM's masks: wholes, their masks, parts, all | the scenes' own | CPU s |
|---|---|---|---|
{decisions}

## SSA: IoU of each class

| class | segmenter alone | SSA, SAM's masks | SSA, the scenes' own |
|---|---|---|---|
{classes}

## SSA-engine: whole objects rightly named, by kind

| kind | SAM's masks | the scenes' own | objects | in a closed set |
|---|---|---|---|---|
{kinds}
"""


LEVEL_ROWS = {
    "whole, part or subpart: as in the scene": "all",
    "the same by pixels alone, without names": "unnamed",
    "as in the scene, a thing without a mask not counting": "all, of those with a mask",
    f"the same of masks of stability {STABLE} on": "stable, of those with a mask",
}


def page(answer: Mapping[str, Any]) -> str:
    """The scores as Markdown, of both sources of masks."""
    sam, own = (answer[source] for source in SOURCES)
    recall, asked = sam["masks"]["recall"], sam["masks"]["asked"]
    objects = own["engine"]["things"]

    def both(what: str, text: Callable[[Mapping[str, Any]], str]) -> tuple[str, str, str]:
        return what, text(sam), text(own)

    names = {
        f"of {objects:,} whole objects: a mask fits (IoU {NAMED_ON})": "things with a mask",
        "rightly named by SSA-engine": "things named",
        "rightly named, of those in no closed set": "outside named",
        "right name among the proposals": "things proposed",
        "where a mask fits: rightly named": "named where there is a mask",
        "where a mask fits: right name among the proposals": "proposed where there is a mask",
        "all masks that fit a region: rightly named": "masks named",
    }
    rows = [
        *(
            (f"{what} found at IoU {FOUND}", f"{recall[group]:.1%} of {asked[group]:,}", "")
            for what, group in (("whole objects", "things"), ("parts", "parts"), ("parts of parts", "subparts"))
        ),
        both("masks a scene", lambda scored: f"{scored['masks']['masks_per_scene']:.0f}"),
        both("mIoU of the coarse segmenter alone", lambda scored: f"{scored['ssa']['miou']['branch']:.3f}"),
        both("mIoU of SSA", lambda scored: f"{scored['ssa']['miou']['ssa']:.3f} ({scored['ssa']['gain']:+.3f})"),
        *((what, *(f"{scored['engine'][key]:.1%}" for scored in (sam, own))) for what, key in names.items()),
        *((what, *(f"{scored['levels'][key]:.1%}" for scored in (sam, own))) for what, key in LEVEL_ROWS.items()),
    ]
    classes = [
        f"| {name} | {branch:.3f} | {by_sam:.3f} | {by_own:.3f} |"
        for (name, (branch, by_sam)), (_, by_own) in zip(
            sam["ssa"]["classes"].items(), own["ssa"]["classes"].values(), strict=True
        )
    ]
    decisions = [
        f"| {decision} | {_three(sam['decisions'][decision])} | {_three(own['decisions'][decision])} | "
        f"{own['cpu_seconds_per_scene'][decision]:.2f} |"
        for decision in sam["decisions"]
    ]
    kinds = [
        f"| {name} | {by_sam:.1%} | {own['engine']['kinds'][name][0]:.1%} | {count} | "
        f"{'yes' if KINDS[name].ade20k or KINDS[name].coco else 'no'} |"
        for name, (by_sam, count) in sam["engine"]["kinds"].items()
    ]
    return PAGE.format(
        scenes=answer["scenes"],
        first=FIRST_SEED,
        parts_px=PARTS_PX,
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        decision=answer["decision"],
        decisions="\n".join(decisions),
        classes="\n".join(classes),
        kinds="\n".join(kinds),
    )


def _three(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.1%}" for share in shares.values())


def main() -> None:
    """Measure, print, and write the page where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--ssa", default="mini-ssa", help="preset of SSA and of its SAM")
    parser.add_argument("--engine", default="mini-engine", help="preset of SSA-engine")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for both presets")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the scores as Markdown, too")
    given = parser.parse_args()
    answer = measure(
        given.scenes,
        ssa=given.ssa,
        engine=given.engine,
        device=given.device,
        overrides=dict(parse_override(text) for text in given.set),
    )
    if given.write:
        given.write.write_text(page(answer), encoding="utf-8")
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
