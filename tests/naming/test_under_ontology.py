"""An ontology before a run: its prompts are asked for, its classes are the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fiftyone_ssa import Ontology, build_pipeline, load_preset
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ontology import OntologyClass
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.naming.under_ontology import classes_under, with_prompts
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Annotation, Inputs, SemanticMap

GROUND = OntologyClass("ground", 1, segmenter_classes=("grass", "road", "sidewalk", "floor", "path", "earth"))
PLACES = Ontology((GROUND, OntologyClass("sky", 2)), others="thing")
NAMES = ("sky", "grass", "car", "road")


def test_classes_of_a_map_become_the_ontologys() -> None:
    answer = SemanticMap(np.array([[0, 1, 2, 3, 255]], np.uint8), NAMES)
    found = classes_under(answer, PLACES)
    assert found.names == ("ground", "sky", "thing")
    assert found.ids.tolist() == [[1, 0, 2, 0, 255]]
    assert classes_under(answer, Ontology(PLACES.classes)).names == ("ground", "sky", "car")
    assert classes_under(answer, None) is answer


@pytest.mark.parametrize("logits", [True, False])
def test_scores_of_synonyms_are_summed(logits: bool) -> None:
    """As probabilities, and the merged map is the one of the sums: no class alone has as much as the sky."""
    shares = torch.tensor([[[0.4]], [[0.3]], [[0.05]], [[0.25]]])
    answer = ClassScores(shares.log() if logits else shares, NAMES, (2, 2), logits=logits)
    assert set(answer.semantic_map().ids.ravel()) == {0}
    found = classes_under(answer, PLACES)
    values = found.values.exp() if logits else found.values
    assert values.ravel().tolist() == pytest.approx([0.55, 0.4, 0.05])
    assert set(found.semantic_map().ids.ravel()) == {0}


@pytest.mark.parametrize("logits", [None, True, False])
def test_classes_of_one_name_are_one(logits: bool | None) -> None:
    """No class alone has as much as the sky, the two of grass together have."""
    names = ("grass", "sky", "grass")
    if logits is None:
        found = classes_under(SemanticMap(np.array([[0, 1, 2, 255]], np.uint8), names), None)
        assert (found.names, found.ids.tolist()) == (("grass", "sky"), [[0, 1, 0, 255]])
        return
    shares = torch.tensor([[[0.3]], [[0.4]], [[0.3]]])
    scores = classes_under(ClassScores(shares.log() if logits else shares, names, (1, 2), logits=logits), None)
    assert scores.probabilities().ravel().tolist() == pytest.approx([0.6, 0.4])
    assert (scores.names, scores.semantic_map().ids.tolist()) == (("grass", "sky"), [[0, 0]])


def test_prompts_join_the_vocabulary() -> None:
    parked = Ontology((OntologyClass("car", 1, prompts=("a parked car", "car")), OntologyClass("sky", 2)))
    assert with_prompts(("sky", "x"), parked) == ("sky", "x", "a parked car", "car")
    assert with_prompts(("x",), None) == ("x",)


def run(preset: str, section: str, ontology: Ontology, tmp_path: Path, **overrides: Any) -> Annotation:
    ontology.save(tmp_path / "classes.toml")
    chosen = load_preset(
        preset, {"masks.source": "existing", f"{section}.ontology": str(tmp_path / "classes.toml"), **overrides}
    )
    scene = draw_scene(3, (160, 200))
    (found,) = build_pipeline(chosen, device="cpu")([Inputs(scene.image, scene.mask_set())])
    return found


@pytest.mark.parametrize("vote", ["hard", "auto"])
def test_ssa_votes_for_the_classes(tmp_path: Path, vote: str) -> None:
    found = run("mini-ssa", "semantic", PLACES, tmp_path, **{"semantic.vote": vote})
    assert set(found.labels) <= {"ground", "sky", "thing", None}
    assert "ground" in found.labels
    assert found.semantic is not None
    assert found.semantic.names == ("ground", "sky", "thing")


def test_the_engine_offers_the_prompts_and_answers_the_classes(tmp_path: Path) -> None:
    prompted = Ontology((OntologyClass("place", 1, prompts=GROUND.segmenter_classes),), others="other")
    found = run("mini-engine", "open_vocabulary", prompted, tmp_path)
    assert set(found.labels) == {"place", "other"}
    assert all(set(proposals.names) <= {"place", "other"} for proposals in found.proposals)
    assert found.confidences.max() <= 1


def test_the_content_of_the_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "classes.toml"
    stamps = set()
    for ontology in (PLACES, Ontology(PLACES.classes)):
        ontology.save(file)
        stamps.add(settings_stamp(load_preset("mini-ssa", {"semantic.ontology": str(file)})).fingerprint)
        # a file's content is read once in a process
        file = tmp_path / "others.toml"
    assert len(stamps) == 2


def test_a_file_that_is_no_ontology_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("a = 1")
    with pytest.raises(InputError, match="unknown key 'a'"):
        build_pipeline(load_preset("mini-ssa", {"semantic.ontology": str(tmp_path / "wrong.toml")}), device="cpu")
