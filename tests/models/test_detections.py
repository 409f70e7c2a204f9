"""Instance and panoptic segmenters as sources of masks: their own processors' answers, with names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers.modeling_outputs import ModelOutput
from transformers.models.eomt.image_processing_eomt import compute_segments

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.detections import Detector, Queries, instance_masks, panoptic_masks
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import Masks, load_preset
from fiftyone_ssa.types import Image, Inputs, MaskSet
from tests.models.hub_folders import ADE20K, COCO_STUFF
from tests.models.tiny_segmenters import save

CPU = torch.device("cpu")
FAMILIES = ("mask2former", "maskformer", "eomt", "oneformer", "rf_detr")
GRIDS = {
    "mask2former": (384, 384),
    "maskformer": (16, 32),
    "eomt": (64, 64),
    "oneformer": (24, 48),
    "rf_detr": (16, 16),
}
"""Images of these sizes meet the grid that a network answers on, so that nothing has to be resized."""


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Callable[[str], Path]:
    made: dict[str, Path] = {"oneformer": parity / "models/oneformer-coco"}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = save(family, tmp_path_factory.mktemp(family), spread=0.3)  # masks that differ
            if family == "eomt":  # as its panoptic and instance checkpoints are: one padded window
                size = {"shortest_edge": 64, "longest_edge": 64}
                hf.EomtImageProcessor(size=size, do_split_image=False, do_pad=True).save_pretrained(made[family])
        return made[family]

    return get


def detector(folder: Path, **settings: Any) -> Detector:
    found = load_mask_generator(Masks(model=str(folder), **settings), CPU, torch.float32)
    assert isinstance(found, Detector)
    return found


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_the_contract(family: str, task: str, folder: Callable[[str], Path]) -> None:
    generator = detector(folder(family), task=task, score_thresh=0.01)
    assert generator.task == task
    found = 0
    for image in (photo(50, 90), photo(90, 50, 1), photo(1, 40), photo(3, 3)):
        masks = generator(image)
        found += len(masks)
        assert isinstance(masks, MaskSet)
        assert masks.size_hw == image.shape[:2]
        assert masks.areas_px.all()
        assert all(name is not None and name == name.strip() for name in masks.source_names)
        assert ((masks.source_scores >= 0) & (masks.source_scores <= 1)).all()
        assert (np.diff(masks.source_scores) <= 0).all()
        assert generator(image).rles == masks.rles
        if task == "panoptic" and len(masks):
            assert sum(rle.decode(code, masks.size_hw).astype(int) for code in masks.rles).max() == 1
    assert found


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_the_processors_own(family: str, task: str, folder: Callable[[str], Path]) -> None:
    """Where no mask has to be resized; the processors resize in three different ways."""
    thresh = 0.05 if family == "oneformer" else 0.1
    generator = detector(folder(family), task=task, score_thresh=thresh)
    image = photo(*GRIDS[family], seed=3)
    outputs = ModelOutput(generator._network.answer(image)[0])
    found = generator(image)
    if task == "panoptic":  # EoMT's is the authors' rule; the others keep pixels of which no query is sure
        queries = generator.queries(image)
        chosen = queries[(queries.labels < len(generator._names)) & (queries.scores > thresh)]
        stuff = list(generator._stuff)
        segmentation, segments = compute_segments(chosen.logits, chosen.scores, chosen.labels, stuff)
        assert len(found) == len(segments) > 0
        theirs = {(segmentation == segment["id"]).numpy().tobytes() for segment in segments}
        assert {rle.decode(code, found.size_hw).tobytes() for code in found.rles} == theirs
    else:  # OneFormer's own is written for its panoptic answers
        processor = hf.MaskFormerImageProcessor() if family == "oneformer" else generator._network.processor
        [expected] = processor.post_process_instance_segmentation(
            outputs,
            threshold=thresh,
            target_sizes=[image.shape[:2]],
            # of 9 queries and 5 classes it would take 9, and none that lies below others
            **({"top_k": 45, "return_binary_maps": True} if family == "rf_detr" else {}),
        )
        segments = expected["segments_info"]
        scores = sorted((segment["score"] for segment in segments if segment["score"] >= thresh), reverse=True)
        assert len(scores) > 0
        # the processors may take one query twice, under its second best class
        assert set(np.round(found.source_scores, 4)) <= {round(score, 4) for score in scores}
        assert found.source_scores[0] == pytest.approx(scores[0], abs=1e-5)


@pytest.mark.parametrize("side", [8, 32, 48])
def test_images_that_a_finder_cannot_cut_up_are_told_before_its_weights_are_read(side: int, tmp_path: Path) -> None:
    made = save("rf_detr", tmp_path)
    (made / "model.safetensors").write_bytes(b"garbage")
    written = json.loads((made / "preprocessor_config.json").read_text())
    (made / "preprocessor_config.json").write_text(json.dumps({**written, "size": {"height": side, "width": side}}))
    says = f"images of {side} x {side} pixels, but its network takes multiples of 32 with at least 9 patches of 16; get"
    with pytest.raises(InputError, match=says):
        load_mask_generator(Masks(model=str(made)), torch.device("cpu"), torch.float32)


def test_stuff_is_one_mask_a_class() -> None:
    """Two cars stay two, two pieces of sky are one; a mask that is mostly hidden goes, and so does no mask at all."""
    left, right, middle = (torch.full((2, 8), -9.0) for _ in range(3))
    left[:, :3], right[:, 5:], middle[:, 3:5] = 9, 9, 9
    hidden = torch.full((2, 8), -9.0)
    hidden[:, :4] = 8
    logits = torch.stack([left, right, middle, hidden, middle])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.99])
    labels = torch.tensor([0, 0, 1, 1, 2])
    for stuff, count in ((frozenset((0,)), 2), (frozenset[int](), 3)):
        found = panoptic_masks(Queries(logits, scores, labels), (2, 8), 0.5, 2, stuff)
        assert len(found) == count
        assert found[0].label == 0
        assert found[0].score == pytest.approx(0.9)
        assert found[0].mask[0].tolist() == [True] * 3 + [False] * 2 + [count == 2] * 3
    assert panoptic_masks(Queries(logits, scores, labels), (2, 8), 0.995, 2, frozenset()) == []
    assert [entry.label for entry in instance_masks(Queries(logits, scores, labels), (4, 16), 0.75)] == [0, 0, 2]
    assert instance_masks(Queries(logits, scores, labels), (4, 16), 0.75)[0].mask[:, :6].all()


def relabelled(folder: Path, target: Path, names: Any) -> Path:
    """A network of the same form with other classes."""
    config = hf.Mask2FormerConfig.from_pretrained(folder, id2label=dict(enumerate(names)))
    hf.Mask2FormerForUniversalSegmentation(config).save_pretrained(target)
    (target / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    return target


def test_the_task_is_told_by_the_classes(tmp_path: Path, folder: Callable[[str], Path], parity: Path) -> None:
    labels = json.loads((parity / "models/oneformer-coco/config.json").read_text())["id2label"]
    things = [labels[str(index)] for index in range(80)]
    for name, names, task in (
        ("coco-panoptic", [*things, *COCO_STUFF], "panoptic"),
        ("coco-instance", things, "instance"),
        ("ade-panoptic", ADE20K, "panoptic"),
        ("own", ["a", "b", "c"], "instance"),
    ):
        made = relabelled(folder("mask2former"), tmp_path / name, names)
        assert detector(made).task == task
        assert detector(made, task="panoptic").task == "panoptic"


def test_stuff_of_one_name_is_one_mask(
    tmp_path: Path, folder: Callable[[str], Path], parity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO has walls of wood and other walls; both are called "wall"."""
    labels = json.loads((parity / "models/oneformer-coco/config.json").read_text())["id2label"]
    names = [*(labels[str(index)] for index in range(80)), *COCO_STUFF]
    walls = detector(relabelled(folder("mask2former"), tmp_path, names))
    classes = torch.zeros((1, 2, 134))
    classes[0, 0, names.index("wall-wood")] = classes[0, 1, names.index("wall-other-merged")] = 50
    masks = torch.full((1, 2, 4, 4), -9.0)
    masks[0, 0, :, :2] = masks[0, 1, :, 2:] = 9
    answer = {"class_queries_logits": classes, "masks_queries_logits": masks}
    monkeypatch.setattr(walls._network, "answer", lambda _: (answer, None))
    found = walls(photo(8, 8))
    assert (found.source_names, found.areas_px.tolist()) == (("wall",), [64])


def test_names_are_readable(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    made = relabelled(folder("mask2former"), tmp_path / "ade", ADE20K)
    names = set(detector(made, task="instance", score_thresh=0.0)(photo(50, 90)).source_names)
    assert names
    assert not any("," in str(name) for name in names)


def test_class_maps_are_refused(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    """By its name before weights are read, or by how an EoMT looks at images."""
    (tmp_path / "mask2former-ade-semantic").mkdir()
    config = json.loads((folder("mask2former") / "config.json").read_text())
    (tmp_path / "mask2former-ade-semantic/config.json").write_text(json.dumps(config))
    windows = save("eomt", tmp_path / "eomt")
    for made in (tmp_path / "mask2former-ade-semantic", windows):
        with pytest.raises(InputError, match=r"is trained for class maps, .* or name it as semantic\.model"):
            detector(made)


def test_another_kind_is_told_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a Segformer.*; give a SAM, .* or an instance or panoptic"):
        load_mask_generator(Masks(model=str(save("segformer", tmp_path))), CPU, torch.float32)


def test_a_preset_names_it(folder: Callable[[str], Path]) -> None:
    """SSA's vote stands beside the detector's own name."""
    preset = load_preset("mini-ssa", {"masks.model": str(folder("mask2former")), "masks.score_thresh": 0.01})
    [annotation] = build_pipeline(preset, device="cpu")([Inputs(photo(50, 90))])
    assert len(annotation.masks) > 0
    assert None not in annotation.labels
    assert set(annotation.masks.source_names) <= {"sky", "road", "tree", "car", "house"}
