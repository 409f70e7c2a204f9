"""Every SAM passes one contract, and answers as its own library does."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.models.sam import load_mask_generator, load_sam
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.types import Image
from tests.models.tiny_sam import segment_anything_sam
from tests.models.tiny_sam_hub import FAMILIES, save, save_sam3

CPU = torch.device("cpu")
ALL = ["segment_anything", *FAMILIES]
PUBLISHED = inspect.signature(SamAutomaticMaskGenerator).parameters.keys() - {"model"}
PERMISSIVE = Masks(
    points_per_side=5,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.05,
    stability_score_offset=0.05,
    box_nms_thresh=1.0,
    crop_nms_thresh=1.0,
)


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    made: dict[str, str] = {}

    def get(family: str) -> str:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            if family == "segment_anything":
                torch.save(segment_anything_sam().state_dict(), folder / "tiny.pth")
                made[family] = str(folder / "tiny.pth")
            else:
                made[family] = str(save(family, folder))
        return made[family]

    return get


@pytest.mark.parametrize("family", ALL)
def test_every_sam_keeps_the_contract(family: str, model: Callable[[str], str]) -> None:
    generator = load_mask_generator(dataclasses.replace(PERMISSIVE, model=model(family)), CPU, torch.float32)
    for size_hw in [(90, 70), (1, 40), (60, 1)]:
        image = photo(*size_hw)
        before = image.copy()
        found = generator(image)
        assert found.size_hw == size_hw
        np.testing.assert_array_equal(image, before)
        for index, rle in enumerate(found.rles):
            ys, xs = np.nonzero(masks.decode(rle, size_hw))
            assert found.source_boxes_xywh[index].tolist() == [
                xs.min(),
                ys.min(),
                xs.max() - xs.min(),
                ys.max() - ys.min(),
            ]
        assert found.points_xy.min(initial=0) >= 0
        assert np.all(found.points_xy <= size_hw[::-1])
        assert np.all(found.crop_boxes_xywh == [0, 0, size_hw[1], size_hw[0]])
        assert np.all(found.stability_score >= 0.05)
        assert found.source_ids == (None,) * len(found)
        assert generator(image).rles == found.rles
    assert len(generator(photo(90, 70))) > 3


@pytest.mark.parametrize("family", ["segment_anything", "sam2"])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (2, 3), (7, 400)])
def test_degenerate_images(family: str, size_hw: tuple[int, int], model: Callable[[str], str]) -> None:
    settings = dataclasses.replace(PERMISSIVE, model=model(family), crop_n_layers=2, min_mask_region_area=3)
    found = load_mask_generator(settings, CPU, torch.float32)(photo(*size_hw))
    assert found.size_hw == size_hw
    assert all(masks.decode(rle, size_hw).any() for rle in found.rles)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "sam_hq"])  # test_sam_checkpoint.py
def test_the_answers_are_transformers_own(family: str, model: Callable[[str], str]) -> None:
    sam = load_sam(model(family), CPU, torch.float32)
    image, points_xy = photo(90, 70), np.array([[3.0, 80.0], [35.5, 45.5], [69.0, 0.0]])
    encoding = sam.encode(image)
    with torch.inference_mode():
        logits, ious = sam.decode(encoding, points_xy)
        inputs = getattr(transformers, sam.family.processor).from_pretrained(model(family))(image, return_tensors="pt")
        points = torch.tensor(encoding.frame.to_input(points_xy))[None, :, None]
        plain = getattr(transformers, sam.family.model).from_pretrained(model(family)).eval()
        expected = plain(pixel_values=inputs["pixel_values"], input_points=points)
    torch.testing.assert_close(logits, expected.pred_masks[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ious, expected.iou_scores[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ALL)
def test_images_encoded_together_are_as_each_alone(family: str, model: Callable[[str], str]) -> None:
    """Of other shapes, too: to the model a wide crop and a high one are squares."""
    sam, points_xy = load_sam(model(family), CPU, torch.float32), np.array([[3.0, 30.0], [35.5, 25.5]])
    images = [photo(90, 70), photo(40, 120), photo(64, 64)]
    with torch.inference_mode():
        for together, image in zip(sam.encode_all(images), images, strict=True):
            assert together.frame == sam.encode(image).frame
            for found, alone in zip(
                sam.decode(together, points_xy), sam.decode(sam.encode(image), points_xy), strict=True
            ):
                torch.testing.assert_close(found, alone, atol=1e-3, rtol=1e-3)


def test_sam_3_as_it_is_published(tmp_path: Path) -> None:
    """The tracker of the repository that holds the detector too."""
    found = load_mask_generator(dataclasses.replace(PERMISSIVE, model=str(save_sam3(tmp_path))), CPU, torch.float32)(
        photo(90, 70)
    )
    assert found.size_hw == (90, 70)
    assert len(found) > 3


@pytest.mark.parametrize("family", ALL)
def test_bfloat16_answers_nearly_as_float32(family: str, model: Callable[[str], str]) -> None:
    points_xy = np.array([[10.0, 10.0], [35.0, 60.0]])
    answers = []
    for dtype in (torch.float32, torch.bfloat16):
        sam = load_sam(model(family), CPU, dtype)
        with torch.inference_mode():
            logits, ious = sam.decode(sam.encode(photo(90, 70)), points_xy)
        assert (logits.dtype, ious.dtype) == (torch.float32, torch.float32)
        answers.append(logits)
    assert ((answers[0] > 0) == (answers[1] > 0)).float().mean() > 0.9


@pytest.mark.parametrize("settings", [{}, {"crop_n_layers": 1}, {"min_mask_region_area": 200}])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_checkpoint_gives_segment_anythings_masks(settings: dict[str, int], seed: int, tmp_path: Path) -> None:
    sam = segment_anything_sam(seed)
    torch.save(sam.state_dict(), tmp_path / "tiny.pth")
    chosen = dataclasses.replace(
        PERMISSIVE, model=str(tmp_path / "tiny.pth"), points_per_side=6, stability_score_thresh=0.5, **settings
    )
    image = photo(24, 33).repeat(10, 0).repeat(10, 1)
    ours = load_mask_generator(chosen, CPU, torch.float32)(image)
    same_settings = {
        key: value for key, value in dataclasses.asdict(chosen).items() if key in PUBLISHED and key != "model"
    }
    plain = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **same_settings).generate(image)
    assert len(ours) == len(plain) > 5
    ious = np.array(
        [
            coco.iou([record["segmentation"]], [{"size": [240, 330], "counts": rle}], [0])[0, 0]
            for record, rle in zip(plain, ours.rles, strict=True)
        ]
    )
    assert np.mean(ious > 0.99) >= 0.99


def test_a_model_without_its_processor_is_prepared_as_its_family_is(
    model: Callable[[str], str], tmp_path: Path
) -> None:
    for file in Path(model("sam2")).iterdir():
        if file.name != "preprocessor_config.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    image = photo(40, 50)
    ours, theirs = (
        EverythingGenerator(load_sam(str(name), CPU, torch.float32), PERMISSIVE)(image)
        for name in (tmp_path, model("sam2"))
    )
    assert ours.rles == theirs.rles


def test_models_that_are_no_sam(parity: Path, model: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a SegformerForSemanticSegmentation; give a SAM, SAM-HQ, SAM 2"):
        load_sam(str(parity / "models/segformer-ade20k"), CPU, torch.float32)
    with pytest.raises(InputError, match=r"is an empty folder; give a model folder"):
        load_sam(str(tmp_path), CPU, torch.float32)
    with pytest.raises(InputError, match="hf download someone/no-such-sam"):
        load_sam("someone/no-such-sam", CPU, torch.float32)


def test_a_model_with_weights_missing(model: Callable[[str], str], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in Path(model("sam2")).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 weights of a Sam2Model, mask_decoder\.iou_token\.weight"):
        load_sam(str(tmp_path), CPU, torch.float32)
