"""Names that masks come with: what they count in SSA's vote, and that the engine hears them first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.segmenters import adopt
from fiftyone_ssa.naming.engine import Engine
from fiftyone_ssa.naming.given_names import given_shares, with_given
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.ssa import SSA
from fiftyone_ssa.presets import OpenVocabulary, load_preset
from fiftyone_ssa.types import Image, Inputs, MaskSet
from tests.models.test_segmenters import Halves, HalvesWithProbabilities

IMAGE: Image = np.zeros((10, 10, 3), np.uint8)


def squares(names: list[str | None], scores: list[float] | None = None) -> MaskSet:
    """Masks of 6 columns on the left, none, and 4 columns on the right."""
    dense = np.zeros((3, 10, 10), bool)
    dense[0, :, :6] = dense[2, :, 6:] = True
    return mask_set((10, 10), [encode(mask) for mask in dense], source_names=names, source_scores=scores)


def test_a_name_meets_its_class_however_it_is_written() -> None:
    masks = squares(["Traffic-Light", "car", "animal, beast"], [0.5, 1, np.nan])
    found = given_shares(masks, ("car", "traffic light", "animal"))
    assert found is not None
    assert found.tolist() == [[0, 0.5, 0], [0, 0, 0], [0, 0, 1]]  # no pixels, no say
    assert given_shares(masks, ("sky",)) is None
    assert given_shares(squares([None] * 3), ("car",)) is None


def test_a_score_counts_against_the_whole_vote() -> None:
    votes = np.array([[30.0, 10.0], [0, 0], [1, 1]])
    shares = with_given(votes, np.array([[0, 0.6], [0, 0], [0.5, 0]]))
    np.testing.assert_allclose(shares, [[0.75 / 1.6, 0.85 / 1.6], [0, 0], [1 / 1.5, 0.5 / 1.5]])


@pytest.mark.parametrize("rule", ["hard", "soft", "core", "auto"])
def test_ssa_hears_it_beside_its_segmenter(rule: str) -> None:
    segmenter = adopt(HalvesWithProbabilities(), "test")
    ssa = SSA(segmenter, rule=rule)  # type: ignore[arg-type]
    plain = ssa([Inputs(IMAGE, squares([None] * 3))])[0]
    same = ssa([Inputs(IMAGE, squares(["boat", None, "boat"], [0.9] * 3))])[0]
    agreed = ssa([Inputs(IMAGE, squares(["left", None, "right"], [0.9] * 3))])[0]
    other = ssa([Inputs(IMAGE, squares(["right", "left", None], [0.99] * 3))])[0]
    faint = ssa([Inputs(IMAGE, squares(["right", None, None], [0.05] * 3))])[0]
    assert plain.labels == same.labels == agreed.labels == faint.labels == ("left", None, "right")
    assert other.labels == ("right", None, "right")
    np.testing.assert_array_equal(same.confidences, plain.confidences)
    assert agreed.confidences[0] > plain.confidences[0]
    assert faint.confidences[0] < plain.confidences[0]
    assert plain.semantic is not None
    assert same.semantic is not None
    assert other.semantic is not None
    np.testing.assert_array_equal(same.semantic.ids, plain.semantic.ids)
    if rule != "auto":
        assert other.semantic.ids[5].tolist() == [1] * 10


class Words:
    """A class filter for which every name fits alike, so that the first one stays."""

    logit_scale = 1.0
    logit_bias = None

    def images(self, groups: list[list[torch.Tensor]]) -> list[np.ndarray]:
        return [np.ones((len(crops), 1), np.float32) for crops in groups]

    def texts(self, names: list[str]) -> np.ndarray:
        return np.ones((len(names), 1), np.float32)


def test_the_engine_proposes_it_first() -> None:
    settings = OpenVocabulary(class_filter="mine", decider="filter")
    with_segmenter = [("halves", adopt(Halves(), "test"))]
    engine = Engine(settings, torch.device("cpu"), segmenters=with_segmenter, class_filter=Words())  # type: ignore[arg-type]
    [found] = engine([Inputs(IMAGE, squares(["dog", "cat", None], [0.9, 0.8, np.nan]))])
    assert found.labels == ("dog", None, "right")
    assert found.label_sources == ("masks", None, "halves")
    assert found.proposals[0].names == ("dog", "left")


def test_names_of_masks_may_be_all_that_is_proposed() -> None:
    alone = {"open_vocabulary.segmenters": [], "open_vocabulary.captioner": "", "open_vocabulary.decider": "filter"}
    with pytest.raises(InputError, match=r'or, of masks that have names, masks\.names = "proposed"'):
        load_preset("mini-engine", alone)
    preset = load_preset("mini-engine", {**alone, "masks.source": "existing", "masks.names": "proposed"})
    [found] = build_pipeline(preset, device="cpu")([Inputs(IMAGE, squares(["dog", None, None]))])
    assert found.labels[0] == "dog"
    assert found.label_sources[0] == "masks"
