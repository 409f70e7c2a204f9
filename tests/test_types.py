"""What crosses rooms is checked when built."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.types import Annotation, Inputs, MaskSet, Proposals, SemanticMap, check_image


def _masks(count: int = 3, size_hw: tuple[int, int] = (4, 5)) -> MaskSet:
    codes = []
    for i in range(count):
        mask = np.zeros(size_hw, bool)
        mask[: i + 1] = True
        codes.append(encode(mask))
    return mask_set(size_hw, codes, source_ids=[10 * i for i in range(count)], predicted_iou=np.arange(count) / 10)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 4), (0, 5, 3)])
def test_an_image_is_rgb(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        check_image(np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="float64"):
        check_image(np.zeros((4, 5, 3)))


def test_columns_filter_and_merge_together() -> None:
    masks = _masks()
    for chosen in ([2, 0], np.array([True, False, True]), slice(None, None, 2)):
        picked = masks[chosen]
        assert sorted(picked.source_ids) == [0, 20]
        assert sorted(picked.areas_px) == [5, 15]
        assert sorted(picked.predicted_iou) == [0.0, 0.2]
    both = MaskSet.merge([masks[[2]], MaskSet.empty((4, 5)), masks[:2]])
    assert both.source_ids == (20, 0, 10)
    assert both.boxes_xywh.dtype == np.int64
    assert both.areas_px.tolist() == [15, 5, 10]
    assert both.order_by_area().tolist() == [0, 2, 1]
    assert len(masks[[]]) == 0


def test_a_mask_set_is_consistent() -> None:
    masks = _masks()
    with pytest.raises(InputError, match="one image size"):
        MaskSet.merge([masks, MaskSet.empty((5, 4))])
    with pytest.raises(InputError, match="one image size"):
        MaskSet.merge([])
    with pytest.raises(InputError, match="got one number"):
        masks[1]
    with pytest.raises(InputError, match=r"MaskSet\.predicted_iou must be \(3,\)"):
        mask_set((4, 5), masks.rles, predicted_iou=[0.5])


def test_equal_areas_keep_their_order() -> None:
    same = encode(np.ones((4, 5), bool))
    assert mask_set((4, 5), [same] * 40).order_by_area().tolist() == list(range(40))


def test_a_semantic_map_knows_its_classes() -> None:
    ids = np.array([[0, 1, 255]], np.uint8)
    semantic = SemanticMap(ids, ("a", "b"))
    assert (semantic.ignore_id, semantic.size_hw) == (255, (1, 3))
    assert SemanticMap(np.full((2, 2), 65535, np.uint16), ("a",)).ignore_id == 65535
    with pytest.raises(InputError, match=r"class id 1 is unknown: the map has 1 classes \(0\.\.0\)"):
        SemanticMap(ids, ("a",))
    with pytest.raises(InputError, match="uint8 or uint16"):
        SemanticMap(ids.astype(np.int64), ("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="use uint16"):
        SemanticMap(ids, tuple(map(str, range(256))))
    assert SemanticMap(ids.astype(np.uint16), tuple(map(str, range(300)))).ignore_id == 65535


def test_proposals_and_annotations_have_one_entry_each() -> None:
    with pytest.raises(InputError, match="2 proposals need as many scores"):
        Proposals(("a", "b"), (1.0,))
    masks = _masks(2)
    whole = {"labels": ("a", None), "confidences": np.ones(2), "proposals": (Proposals(),) * 2}
    assert Annotation(masks, **whole).unlabelled == 1
    for name in whole:
        with pytest.raises(InputError, match=rf"Annotation\.{name} must hold 2 entries"):
            Annotation(masks, **{**whole, name: whole[name][:1]})
    with pytest.raises(InputError, match=r"Annotation\.captions must hold 0 or 2"):
        Annotation(masks, **whole, captions=("one",))


def test_inputs_describe_the_same_pixels() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(InputError, match=r"the size of the masks is \(5, 4\)"):
        Inputs(image, MaskSet.empty((5, 4)))
    with pytest.raises(InputError, match="class map"):
        Inputs(image, semantic=SemanticMap(np.zeros((5, 4), np.uint8), ("a",)))


def test_everything_pickles() -> None:
    masks = _masks(2)
    annotation = Annotation(masks, ("a", None), np.ones(2), (Proposals(("a",), (0.5,)), Proposals()))
    again = pickle.loads(pickle.dumps(annotation))
    assert again.labels == annotation.labels
    assert again.masks.rles == masks.rles
    np.testing.assert_array_equal(again.masks.areas_px, masks.areas_px)
