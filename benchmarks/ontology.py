"""What an ontology makes of the engine's names on drawn scenes, without a hand and by a known list of classes.

    python -m benchmarks.ontology [--scenes 200] [--kept FOLDER]

suggested: an ontology is suggested from the names that SSA-engine gave the masks of all scenes, and applied to them as
it is: the shares of right names before and after, which names were put together, and which of these are two things by
the scenes' truth. own: the scenes' own classes, applied to the stored proposals, and beside it the same engine run
again with these classes as its vocabulary. On SAM's masks, and on the scenes' own. `--kept` keeps what the models said
in a folder, and reads it from there. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import SOURCES, scenes
from fiftyone_ssa.layouts.ontology import Ontology, ontology_of
from fiftyone_ssa.layouts.ontology_decide import decide_again
from fiftyone_ssa.layouts.ontology_groups import group_names, unsure_pairs
from fiftyone_ssa.layouts.ontology_suggested import SaidNames, suggested_ontology
from fiftyone_ssa.models.devices import pick_device, pick_dtype
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.lemmas import NounLemmas
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import KINDS, Scene
from fiftyone_ssa.quickstart.scenes.judge import ious, names_right, right_names
from fiftyone_ssa.quickstart.scenes.kinds import STUFF
from fiftyone_ssa.types import Inputs, MaskSet, Proposals

PRESET = "mini-engine"


@dataclass(frozen=True)
class Named:
    """What an engine said of one scene's masks."""

    labels: tuple[str | None, ...]
    proposals: tuple[Proposals, ...]

    def under(self, ontology: Ontology) -> list[str | None]:
        """The same decided again."""
        pairs = zip(self.labels, self.proposals, strict=True)
        return [decide_again(ontology, label, found.names, found.scores).label for label, found in pairs]


@dataclass(frozen=True)
class Said:
    """One scene, with masks from one source, named plainly and with the scenes' own classes as the vocabulary."""

    masks: MaskSet
    plain: Named
    offered: Named


def own_ontology(part_names: Sequence[str]) -> Ontology:
    """The classes that drawn scenes have, as one who knows them would write them down."""
    rows: dict[str, dict[str, Any]] = {}
    words: dict[str, list[str]] = {}
    for entry in (*KINDS.values(), *STUFF.values()):
        rows[entry.name] = {"name": entry.name, "synonyms": list(getattr(entry, "also", ()))}
        words[entry.name] = [entry.ade20k, entry.coco]
    rows |= {name: {"name": name} for name in part_names if name not in rows}
    said = Counter(word for pair in words.values() for word in set(pair) if word)
    taken = {name for row in rows.values() for name in (row["name"], *row.get("synonyms", ()))}
    for name, pair in words.items():  # what segmenters call several things ("animal") means none of them
        rows[name]["segmenter_classes"] = [
            word for word in dict.fromkeys(pair) if said[word] == 1 and word not in taken
        ]
    return ontology_of({"classes": list(rows.values())}, "scenes", "the scenes' classes")


def part_names() -> list[str]:
    """The names of parts, of scenes that are measured on nowhere."""
    from fiftyone_ssa.quickstart.scenes import draw_scene

    names = {node.name for seed in range(3_000, 3_200) for node in draw_scene(seed).nodes if node.parent >= 0}
    return sorted(names)


def run(count: int, ontology: Ontology, device: str, kept: Path | None) -> Iterator[tuple[Scene, Mapping[str, Said]]]:
    """Each scene, and what was said of it, by the source of its masks."""
    where = pick_device(device)
    generator = load_mask_generator(load_preset(PRESET).masks, where, pick_dtype("auto", where))
    vocabulary = "".join(f"{name}\n" for name in ontology.prompts)
    plain, offered = (
        build_pipeline(load_preset(PRESET, {"masks.source": "existing", **changes}), device=device)
        for changes in ({}, {"open_vocabulary.vocabulary": vocabulary})
    )
    drawn = scenes(count)
    for number in range(-(-count // 8)):
        batch = list(islice(drawn, 8))
        file = None if kept is None else kept / f"{number}.pickle"
        if file is not None and file.exists():
            yield from zip(batch, pickle.loads(file.read_bytes()), strict=True)
            continue
        said: list[dict[str, Said]] = [{} for _ in batch]
        for source in SOURCES:
            masks = [generator(scene.image) if source == "sam" else scene.mask_set() for scene in batch]
            inputs = [Inputs(scene.image, found) for scene, found in zip(batch, masks, strict=True)]
            both = [[Named(a.labels, a.proposals) for a in engine(inputs)] for engine in (plain, offered)]
            for place, (found, first, second) in enumerate(zip(masks, *both, strict=True)):
                said[place][source] = Said(found, first, second)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(said))
        yield from zip(batch, said, strict=True)


def measure(count: int, *, device: str = "auto", kept: Path | None = None) -> dict[str, Any]:
    """Both, by the source of the masks."""
    ontology = own_ontology(part_names())
    found = list(run(count, ontology, device, kept))
    return {"scenes": count, **{source: _measured(found, source, ontology) for source in SOURCES}}


def _measured(found: Sequence[tuple[Scene, Mapping[str, Said]]], source: str, own: Ontology) -> dict[str, Any]:
    names, right, together = SaidNames(), _Right(), _Together()
    for number, (scene, every) in enumerate(found):
        for place, (label, proposals) in enumerate(
            zip(every[source].plain.labels, every[source].plain.proposals, strict=True)
        ):
            for name in proposals.names:
                names.masks.setdefault(name, 0)
            if label is not None:
                names.add(label, f"{number} {place}", 0.0)
        together.add(scene)
    groups = group_names(names.masks, lemma=NounLemmas())
    suggested = suggested_ontology(groups, names, unsure_pairs(groups))
    for scene, every in found:
        said = every[source]
        overlaps = ious(scene, said.masks)
        right.add("before", scene, overlaps, said.plain.labels)
        right.add("suggested", scene, overlaps, said.plain.under(suggested))
        right.add("own, before", scene, overlaps, said.plain.labels, own)
        right.add("own, stored proposals", scene, overlaps, said.plain.under(own), own)
        right.add("own, run again", scene, overlaps, said.offered.under(own), own)
    joined = {group.name: list(group.names) for group in groups if len(group.names) > 1}
    return {
        "right": right.shares(),
        "right, by one name a thing": right.by_one_name(),
        "names": sum(count > 0 for count in names.masks.values()),
        "classes": len(groups),
        "put together": joined,
        "two things put together": [pair for each in joined.values() for pair in together.different(each)],
        "unsure": [list(pair) for pair in unsure_pairs(groups)],
    }


class _Right:
    """Shares of right names of all masks that fit a region."""

    def __init__(self) -> None:
        self._found: dict[str, list[bool]] = {}
        self._called: dict[str, dict[str, Counter[str | None]]] = {}

    def add(
        self, what: str, scene: Scene, overlaps: Any, labels: Sequence[str | None], ontology: Ontology | None = None
    ) -> None:
        """Count a scene's; under an ontology a name is right if it means the class of a right name."""
        if ontology is not None:
            classes = [None if label is None else ontology.class_of(label) for label in labels]
            labels = [label if found is None else found.name for label, found in zip(labels, classes, strict=True)]
        regions = scene.regions()
        fits = overlaps[:, [node.id for node in regions]]
        for place, label in enumerate(labels):
            right = names_right(scene, overlaps[place : place + 1], [label])
            self._found.setdefault(what, []).extend(right)
            if right:
                thing = regions[int(fits[place].argmax())].name
                called = self._called.setdefault(what, {}).setdefault(thing, Counter())
                called[label if right[0] else None] += 1

    def shares(self) -> dict[str, Any]:
        """By what was measured."""
        shares = {what: round(float(np.mean(right)), 4) for what, right in self._found.items()}
        return {**shares, "masks": len(self._found["before"])}

    def by_one_name(self) -> dict[str, float]:
        """Shares of masks whose name is the one right name that most masks of their thing have."""
        found = {}
        for what, things in self._called.items():
            most = sum(max([n for label, n in called.items() if label], default=0) for called in things.values())
            found[what] = round(most / len(self._found[what]), 4)
        return found


class _Together:
    """Which names are right for one thing somewhere, by the truth of all scenes."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._same: set[frozenset[str]] = set()

    def add(self, scene: Scene) -> None:
        """Learn from a scene."""
        for node in scene.nodes:
            names = sorted(right_names(node))
            self._known |= set(names)
            self._same |= {frozenset((a, b)) for a in names for b in names}

    def different(self, names: Sequence[str]) -> list[list[str]]:
        """Pairs of names that are both right somewhere, but never for the same."""
        known = [name for name in names if name in self._known]
        pairs = [(a, b) for place, a in enumerate(known) for b in known[place + 1 :]]
        return [[a, b] for a, b in pairs if frozenset((a, b)) not in self._same]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kept", type=Path)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.scenes, device=chosen.device, kept=chosen.kept), indent=1))


if __name__ == "__main__":
    main()
