"""Concepts beside another source of masks: names for ours, masks only they found, one look for points and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.concept_masks import ConceptMasks, SharedBackbone, _Outline
from fiftyone_ssa.models.concepts import Instances
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import Masks, load_preset
from fiftyone_ssa.types import Image, Inputs, MaskSet
from tests.models import tiny_concepts, tiny_sam_hub
from tests.models.tiny_segmenters import save

CPU = torch.device("cpu")
HW = (8, 16)


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Found:
    """Concepts whose things are told: name to (columns, score) each, on a grid of the image's size."""

    grid_hw = HW

    def __init__(self, things: dict[str, list[tuple[slice, float]]]) -> None:
        self.things = things

    def look(self, image: torch.Tensor) -> None:
        return None

    def find(self, seen: None, names: Sequence[str], keep: Callable[[Instances], Any]) -> list[Any]:
        return [keep(self._instances(self.things.get(name, []))) for name in names]

    def _instances(self, things: list[tuple[slice, float]]) -> Instances:
        logits = torch.full((len(things) + 1, *HW), -5.0)
        for plane, (columns, _) in zip(logits, things, strict=False):
            plane[:, columns] = 5
        return Instances(logits, torch.tensor([*(score for _, score in things), 0.0]))


def ask(things: dict[str, list[tuple[slice, float]]], masks: MaskSet) -> tuple[MaskSet, list[dict[str, float]]]:
    concepts = ConceptMasks.__new__(ConceptMasks)
    concepts.concepts, concepts._device, concepts._thresh = Found(things), CPU, 0.5  # type: ignore[assignment]
    every, heard = concepts(photo(*HW), masks, list(things))
    assert len(every) == len(heard)
    return every, [dict(zip(of.names, np.round(of.scores, 3).tolist(), strict=True)) for of in heard]


def columns(*parts: slice) -> MaskSet:
    dense = np.zeros((len(parts), *HW), bool)
    for mask, part in zip(dense, parts, strict=True):
        mask[:, part] = True
    return rle.mask_set(HW, [rle.encode(mask) for mask in dense])


def test_what_overlaps_names_a_mask_and_what_is_left_is_added() -> None:
    ours = columns(slice(0, 4), slice(4, 8))
    things = {
        "car": [(slice(0, 4), 0.9), (slice(10, 14), 0.6)],
        "vehicle": [(slice(0, 6), 0.8), (slice(10, 13), 0.9)],
        "dog": [(slice(4, 8), 0.4)],  # not sure enough
        "tree": [],
    }
    every, heard = ask(things, ours)
    assert every.rles[:2] == ours.rles
    assert heard[0] == {"car": 0.9, "vehicle": round(0.8 * 4 / 6, 3)}
    assert heard[1] == {}
    assert len(every) == 3  # of the two on the right the surer, which is also called a car
    assert (every.source_names, every.source_scores[2]) == ((None, None, "vehicle"), pytest.approx(0.9))
    assert rle.decode(every.rles[2], HW)[0].tolist() == [False] * 10 + [True] * 3 + [False] * 3
    assert heard[2] == {"vehicle": 0.9, "car": round(0.6 * 3 / 4, 3)}


def test_no_masks_and_no_things() -> None:
    every, heard = ask({"car": [(slice(0, 4), 0.9)]}, MaskSet.empty(HW))
    assert every.source_names == ("car",)
    assert heard == [{"car": 0.9}]
    every, heard = ask({"car": []}, columns(slice(0, 4)))
    assert (len(every), heard) == (1, [{}])
    every, heard = ask({"car": []}, MaskSet.empty(HW))
    assert (len(every), heard) == (0, [])


@pytest.mark.parametrize("size_hw", [(100, 333), (40, 60), (17, 9), (1, 1)])
def test_an_outline_is_enlarged_as_the_whole_plane_is(size_hw: tuple[int, int]) -> None:
    grid_hw = (40, 60)
    random = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 1, 5, 7), generator=random)
    smooth = torch.nn.functional.interpolate(noise, grid_hw, mode="bicubic")[0, 0]
    full, empty, exact = torch.full(grid_hw, 3.0), torch.full(grid_hw, -3.0), torch.zeros(grid_hw)
    for plane in (smooth, torch.randn(grid_hw, generator=random), full, empty, exact):
        whole = torch.nn.functional.interpolate(plane[None, None], size_hw, mode="bilinear", align_corners=False)
        outline = _Outline.of(plane.numpy())
        np.testing.assert_array_equal(outline.enlarged(grid_hw, size_hw, CPU), whole[0, 0].numpy() > 0)
    assert len(_Outline.of(smooth.numpy()).border) < 40 * 60 / 4


@pytest.fixture(scope="module")
def sam3(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Path:
    return tiny_concepts.save(tmp_path_factory.mktemp("concepts"), parity / "models")


def test_the_real_class_keeps_the_contract(sam3: Path) -> None:
    concepts = ConceptMasks(str(sam3), CPU, torch.float32, thresh=0.01)
    for image in (photo(50, 90), photo(1, 40), photo(3, 3)):
        size_hw = (image.shape[0], image.shape[1])
        masks = rle.mask_set(size_hw, [rle.encode(np.ones(size_hw, bool))])
        every, heard = concepts(image, masks, ("sky", "a red car"))
        assert every.rles[0] == masks.rles[0]
        assert every.size_hw == size_hw
        assert len(heard) == len(every)
        assert every.areas_px.all()
        assert set(every.source_names[1:]) <= {"sky", "a red car"}
        assert concepts(image, masks, ("sky", "a red car"))[0].rles == every.rles
    assert len(concepts(photo(50, 90), MaskSet.empty((50, 90)), ("sky",))[0]) > 0


def test_points_and_names_look_at_an_image_once(tmp_path: Path, parity: Path) -> None:
    """facebook/sam3's form: the tracker and the concepts of one repository have one backbone."""
    folder = tiny_sam_hub.save_sam3(tmp_path / "sam3", vocabulary=parity / "models/clipseg")
    settings = Masks(model=str(folder), points_per_side=4, pred_iou_thresh=-1, stability_score_thresh=0)
    image = photo(60, 90)
    apart = load_mask_generator(settings, CPU, torch.float32)(image)
    alone = ConceptMasks(str(folder), CPU, torch.float32, thresh=0.01)(image, apart, ("sky", "road"))
    generator = load_mask_generator(settings, CPU, torch.float32)
    assert isinstance(generator, EverythingGenerator)
    concepts = ConceptMasks(str(folder), CPU, torch.float32, thresh=0.01, generator=generator)
    shared = concepts.concepts.network.vision_encoder.backbone
    assert isinstance(shared, SharedBackbone)
    before = shared.looks
    masks = generator(image)
    together = concepts(image, masks, ("sky", "road"))
    assert shared.looks == before + 1
    assert masks.rles == apart.rles
    assert len(together[0]) == len(alone[0])
    np.testing.assert_allclose(together[0].areas_px, alone[0].areas_px, atol=5)
    generator(photo(60, 90, 1))
    assert shared.looks == before + 2


def test_another_sam_shares_nothing(sam3: Path, tmp_path: Path) -> None:
    settings = Masks(model=str(tiny_sam_hub.save("sam3_tracker", tmp_path)), points_per_side=2)
    generator = load_mask_generator(settings, CPU, torch.float32)
    concepts = ConceptMasks(str(sam3), CPU, torch.float32, generator=generator)
    assert not isinstance(concepts.concepts.network.vision_encoder.backbone, SharedBackbone)


def test_presets_name_it(sam3: Path) -> None:
    """SSA asks for its segmenter's classes, the engine for its vocabulary, without which it is refused."""
    few = {"masks.points_per_side": 4, "masks.crop_n_layers": 0}
    few |= {"masks.pred_iou_thresh": 0.0, "masks.stability_score_thresh": 0.0}
    own = {"masks.concepts": str(sam3), "masks.concept_thresh": 0.01, **few}
    plain = build_pipeline(load_preset("mini-ssa", few), device="cpu")([Inputs(photo(60, 90))])[0]
    assert len(plain.masks) > 0
    ssa = load_preset("mini-ssa", own)
    [found] = build_pipeline(ssa, device="cpu")([Inputs(photo(60, 90))])
    assert found.masks.rles[: len(plain.masks)] == plain.masks.rles
    assert len(found.masks) > len(plain.masks)
    assert found.semantic is not None
    assert set(found.masks.source_names[len(plain.masks) :]) <= set(found.semantic.names)
    assert None not in found.labels
    assert "masks.concepts" in settings_stamp(ssa).differences(settings_stamp(load_preset("mini-ssa", few)).values)
    with pytest.raises(InputError, match=r"masks\.concepts is asked for names; set open_vocabulary\.vocabulary"):
        load_preset("mini-engine", {**own, "open_vocabulary.vocabulary": ""})
    names = {"open_vocabulary.vocabulary": "sky\na red car\n", "open_vocabulary.segmenters": ()}
    engine = load_preset("mini-engine", {**own, **names, "open_vocabulary.captioner": ""})
    [named] = build_pipeline(engine, device="cpu")([Inputs(photo(60, 90))])
    assert len(named.masks) > 0
    assert set(named.labels) <= {"sky", "a red car"}
    assert "concepts" in named.label_sources


def test_another_kind_is_told_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load concepts: .* give a SAM 3"):
        ConceptMasks(str(save("segformer", tmp_path)), CPU, torch.float32)
