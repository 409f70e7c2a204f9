"""SSA end to end: the published answers on real photographs, and every voting rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pictures

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import class_rles, encode, mask_set
from fiftyone_ssa.models.segmenters import adopt
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.ssa import SSA, without_colours
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.types import Image, Inputs, SemanticMap
from tests.models.test_segmenters import Halves, HalvesWithProbabilities


@pytest.mark.parametrize("stem", ["chelsea", "coffee", "rocket"])
@pytest.mark.parametrize("data", ["ade20k", "cityscapes"])
def test_equals_the_published_answers(stem: str, data: str, parity: Path) -> None:
    overrides = {"masks.source": "existing", "semantic.model": str(parity / f"models/segformer-{data}")}
    preset = load_preset("ssa-ade20k", overrides)
    image = np.asarray(Pictures.open(parity / f"inputs/{stem}.png").convert("RGB"))
    records = json.loads((parity / f"inputs/{stem}.json").read_text())["annotations"]
    masks = mask_set(
        image.shape[:2], [r["segmentation"]["counts"] for r in records], source_ids=[r["id"] for r in records]
    )
    annotation = build_pipeline(preset, device="cpu")([Inputs(image, masks)])[0]
    expected = json.loads((parity / f"expected/ssa-{data}/{stem}_semantic.json").read_text())
    order = masks.order_by_area()
    assert [masks.source_ids[i] for i in order] == [a["id"] for a in expected["annotations"]]
    assert [annotation.labels[i] for i in order] == [a["class_name"] for a in expected["annotations"]]
    assert annotation.semantic is not None
    semantic = {str(i): code.decode() for i, code in class_rles(annotation.semantic.ids, 255)}
    assert semantic == {i: mask["counts"] for i, mask in expected["semantic_mask"].items()}


def square(*corners: int) -> bytes:
    x0, y0, x1, y1 = corners
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return encode(mask)


IMAGE: Image = np.zeros((10, 10, 3), np.uint8)
MASKS = mask_set((10, 10), [square(0, 0, 6, 10), square(0, 0, 0, 0), square(6, 0, 10, 2)], predicted_iou=[0.9] * 3)


@pytest.mark.parametrize("rule", ["hard", "soft", "core", "auto"])
def test_every_rule_names_the_masks(rule: str) -> None:
    ssa = SSA(adopt(HalvesWithProbabilities(), "test"), rule=rule, keep_branch=True)  # type: ignore[arg-type]
    annotation = ssa([Inputs(IMAGE, MASKS)])[0]
    assert annotation.labels == ("left", None, "right")
    assert annotation.unlabelled == 1
    assert annotation.proposals[1].names == ()
    assert annotation.proposals[0].names == ("left", "right")
    assert annotation.votes is not None
    assert annotation.proposals[0].scores[0] == annotation.votes.shares[0] > annotation.confidences[0]
    assert sum(annotation.proposals[0].scores) == pytest.approx(1)
    assert 0.2 < annotation.confidences[0] < 1
    assert annotation.branch is not None
    assert annotation.branch.ids[0].tolist() == [0] * 5 + [1] * 5
    assert annotation.semantic is not None
    if rule != "auto":
        assert annotation.semantic.ids[5].tolist() == [0] * 6 + [1] * 4


class Thirds(HalvesWithProbabilities):
    """Two names of the same wall, one of a door."""

    classes = ("wall", "door", "wall")

    def __call__(self, images: list[Image]) -> list[object]:
        row = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
        return [np.tile(row, (len(image), 1)) for image in images]

    def probabilities(self, images: list[Image]) -> list[object]:
        return [np.array([[[0.3]], [[0.4]], [[0.3]]]) for _ in images]


@pytest.mark.parametrize("rule", ["hard", "soft", "core", "auto"])
def test_classes_of_one_name_vote_together(rule: str) -> None:
    ssa = SSA(adopt(Thirds(), "test"), rule=rule, keep_branch=True)  # type: ignore[arg-type]
    (annotation,) = ssa([Inputs(IMAGE, mask_set((10, 10), [square(0, 0, 10, 10)]))])
    assert annotation.labels == ("wall",)
    assert annotation.semantic is not None
    assert annotation.branch is not None
    assert annotation.semantic.names == annotation.branch.names == ("wall", "door")
    assert not annotation.semantic.ids.any()


class Reddish:
    """Sure that what is more red than green is a "rose", and nearly sure that all else is "grass"."""

    classes = ("rose", "grass")

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        return [SemanticMap((image[..., 0] <= image[..., 1]).astype(np.uint8), self.classes) for image in images]

    def probabilities(self, images: Sequence[Image]) -> list[npt.NDArray[np.float32]]:
        return [np.where(image[..., 0] > image[..., 1], [[[0.9]], [[0.1]]], [[[0.2]], [[0.8]]]) for image in images]


@pytest.mark.parametrize("rule", ["hard", "soft", "core", "auto"])
def test_a_check_tells_what_a_name_keeps_without_colours(rule: Any) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, :6, 0], image[:, 6:, 1] = 200, 150
    masks = mask_set((10, 10), [square(0, 0, 6, 10), square(0, 0, 0, 0), square(6, 0, 10, 10)])
    checked = SSA(adopt(Reddish(), "test"), rule=rule, check="colourless")([Inputs(image, masks)])[0]
    plain = SSA(adopt(Reddish(), "test"), rule=rule)([Inputs(image, masks)])[0]
    assert checked.labels == plain.labels == ("rose", None, "grass")
    np.testing.assert_array_equal(checked.confidences, plain.confidences)
    assert plain.votes is not None
    assert checked.votes is not None
    assert plain.votes.colourless is None
    shares = checked.votes.colourless
    assert shares is not None
    assert shares[0] < 0.3 < 0.7 < shares[2]
    assert np.isnan(shares[1])
    assert [classes.names[:1] for classes in checked.votes.colourless_classes] == [("grass",), (), ("grass",)]
    if rule != "auto":
        np.testing.assert_allclose(shares[[0, 2]], [0, 1] if rule == "hard" else [0.2, 0.8])


def test_without_colours_an_image_is_its_luma() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    grey = without_colours(image)
    assert (grey.shape, grey.dtype) == (image.shape, np.uint8)
    expected = image @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey, np.repeat(expected[..., None], 3, 2), atol=0.51)


def test_soft_rules_ask_for_probabilities() -> None:
    with pytest.raises(InputError, match=r'vote = "soft" needs class probabilities'):
        SSA(adopt(Halves(), "test"), rule="soft")


def test_auto_is_hard_where_there_are_no_probabilities(caplog: pytest.LogCaptureFixture) -> None:
    given = [Inputs(IMAGE, MASKS)]
    auto = SSA(adopt(Halves(), "test"), rule="auto")(given)[0]
    assert 'vote = "auto" is "hard" here' in caplog.text
    hard = SSA(adopt(Halves(), "test"))(given)[0]
    assert auto.labels == hard.labels
    assert auto.semantic is not None
    assert hard.semantic is not None
    np.testing.assert_array_equal(auto.semantic.ids, hard.semantic.ids)
    semantic = SemanticMap(np.full((10, 10), 1, np.uint8), ("a", "b"))
    assert SSA(None, rule="auto")([Inputs(IMAGE, MASKS, semantic)])[0].labels == ("b", None, "b")


def test_an_existing_class_map_needs_no_segmenter() -> None:
    semantic = SemanticMap(np.full((10, 10), 1, np.uint8), ("a", "b"))
    assert SSA(None)([Inputs(IMAGE, MASKS, semantic)])[0].labels == ("b", None, "b")
    with pytest.raises(InputError, match="no class map"):
        SSA(None)([Inputs(IMAGE, MASKS)])


def test_masks_are_asked_for() -> None:
    with pytest.raises(InputError, match="this image has no masks"):
        SSA(adopt(Halves(), "test"))([Inputs(IMAGE)])


def test_confidence_falls_where_masks_and_classes_do_not_go_together() -> None:
    halves = SemanticMap(np.repeat([[0] * 5 + [1] * 5], 10, 0).astype(np.uint8), ("a", "b"))
    fitting = mask_set((10, 10), [square(0, 0, 5, 10), square(5, 0, 10, 10)])
    across = mask_set((10, 10), [square(0, 0, 10, 4), square(0, 4, 10, 10)])
    (good,) = SSA(None)([Inputs(IMAGE, fitting, halves)])
    (bad,) = SSA(None)([Inputs(IMAGE, across, halves)])
    assert good.confidences.tolist() == [1, 1]
    assert bad.votes is not None
    np.testing.assert_allclose(bad.votes.shares, 0.5)
    np.testing.assert_allclose(bad.confidences, 0.5 * 0.25)
