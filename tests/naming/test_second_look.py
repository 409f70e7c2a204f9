"""The second look at masks that have their whole's name, on drawn scenes, whose parts are known."""

from __future__ import annotations

import pytest

from fiftyone_ssa.masks.containment import contain
from fiftyone_ssa.naming.part_names import known_wholes, part_names
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.quickstart.scenes.judge import ious, names_right
from fiftyone_ssa.types import Annotation, Inputs

SEEDS = (61_000, 61_001)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, (192, 192)) for seed in SEEDS]


@pytest.fixture(scope="module")
def named(scenes):
    """Annotations by `parts`, of the scenes' own masks, by the published decision."""
    inputs = [Inputs(scene.image, scene.mask_set()) for scene in scenes]
    found: dict[str, list[Annotation]] = {}
    for parts in ("alone", "context"):
        changes = {"masks.source": "existing", "open_vocabulary.decision": "published", "open_vocabulary.parts": parts}
        found[parts] = build_pipeline(load_preset("mini-engine", changes), device="cpu")(inputs)
    return found


def test_only_masks_with_their_wholes_name_change(named):
    changed = 0
    for before, after in zip(named["alone"], named["context"], strict=True):
        parents = contain(before.masks).parents.tolist()
        for index, parent in enumerate(parents):
            if before.labels[index] == after.labels[index]:
                continue
            changed += 1
            assert before.labels[index] == before.labels[parent]
            assert after.labels[index] == after.proposals[index].names[0]
            assert after.label_sources[index] is not None
            assert list(after.proposals[index].scores) == sorted(after.proposals[index].scores, reverse=True)
    assert changed


def test_more_names_are_right(scenes, named):
    right = {
        parts: sum(sum(names_right(s, ious(s, a.masks), a.labels)) for s, a in zip(scenes, found, strict=True))
        for parts, found in named.items()
    }
    assert right["context"] > right["alone"]


def test_it_is_off_by_default_and_counts_as_a_setting():
    assert load_preset("mini-engine").open_vocabulary.parts == "alone"
    changed = load_preset("mini-engine", {"open_vocabulary.parts": "context"})
    assert changed.fingerprint != load_preset("mini-engine").fingerprint


def test_parts_of_common_things_are_known():
    assert "wheel" in part_names("car")
    assert part_names("red sports car") == part_names("car")
    assert part_names("couch") == part_names("sofa")
    assert part_names("gizmo") == ()
    assert {"person", "building"} <= known_wholes()
