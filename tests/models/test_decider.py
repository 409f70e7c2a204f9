from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from transformers import AutoProcessor, CLIPSegConfig, CLIPSegForImageSegmentation

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.models import Question, ragged, resizing
from fiftyone_ssa.models import decider as decider_module
from fiftyone_ssa.models.decider import Decider

CPU = torch.device("cpu")
SIZE_HW = (427, 640)
CROPS = [  # crop and mask box, both x0, y0, x1, y1 (exclusive)
    ((0, 0, 640, 427), (60, 30, 500, 400)),
    ((100, 50, 200, 250), (110, 60, 190, 240)),
    ((300, 10, 301, 200), (300, 50, 301, 150)),
    ((20, 300, 400, 303), (100, 301, 300, 302)),
    ((5, 5, 6, 6), (5, 5, 6, 6)),
    ((600, 400, 640, 427), (610, 410, 640, 427)),
    *(
        ((10 * i, 7 * i, 10 * i + 90 + i, 7 * i + 60), (10 * i + 20, 7 * i + 9, 10 * i + 70, 7 * i + 50))
        for i in range(14)
    ),
]
NAMES = [("a cat", "the sky", "grass"), ("wall",), ("tree", "an old red lorry"), ("b", "c", "d", "e")]


@pytest.fixture(scope="module")
def image(parity: Path) -> np.ndarray:
    return np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB"))


@pytest.fixture(scope="module")
def questions(image: np.ndarray) -> list[Question]:
    pixels = torch.from_numpy(image)
    found = []
    for i, (crop, box) in enumerate(CROPS):
        mask = np.zeros(SIZE_HW, bool)
        mask[box[1] : box[3], box[0] : box[2]] = (
            np.random.default_rng(i).random((box[3] - box[1], box[2] - box[0])) < 0.8
        )
        mask[box[1], box[0]] = mask[box[3] - 1, box[2] - 1] = True
        found.append(
            Question(
                crop=pixels[crop[1] : crop[3], crop[0] : crop[2]],
                crop_xyxy=crop,
                box_xyxy=box,
                rle=masks.encode(mask),
                size_hw=SIZE_HW,
                names=NAMES[i % len(NAMES)],
                image=pixels,
            )
        )
    return found


@pytest.fixture(scope="module")
def complex_decider(parity: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random CLIPSeg as refined ones are: a deeper tower than the decoder taps, and an upsampling in three steps."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clipseg")
    source = parity / "models" / "clipseg"
    config = CLIPSegConfig.from_pretrained(source, use_complex_transposed_convolution=True, extract_layers=[0, 1, 2])
    config.vision_config.num_hidden_layers = 5
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    AutoProcessor.from_pretrained(source).save_pretrained(folder)
    return str(folder)


@torch.inference_mode()
def plain_counts(folder: str, questions: list[Question]) -> list[np.ndarray]:
    """Each crop with each name through the whole model; scores enlarged to the crop."""
    processor = AutoProcessor.from_pretrained(folder, do_resize=False)
    network = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    counts = []
    for question in questions:
        image, count = Image.fromarray(question.crop.numpy()), len(question.names)
        inputs = processor(text=list(question.names), images=[image] * count, padding=True, return_tensors="pt")
        pixels = interpolate(inputs["pixel_values"], size=(512, 512), mode="bilinear", align_corners=False)
        logits = network(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], pixel_values=pixels
        ).logits
        logits = logits.reshape(1, count, *logits.shape[-2:])
        winners = interpolate(logits, size=image.size[::-1], mode="bilinear", align_corners=False)[0].argmax(0).numpy()
        inside = masks.decode_crop(question.rle, question.size_hw, question.crop_xyxy)
        (left, top), (x0, y0, x1, y1) = question.crop_xyxy[:2], question.box_xyxy
        outside = np.zeros_like(inside)
        if count > 1:  # a name without rivals is not looked at
            outside[y0 - top : y1 - top, x0 - left : x1 - left] = True
        outside &= ~inside
        counts.append(np.stack([np.bincount(winners[where], minlength=count) for where in (inside, outside)], 1))
    return counts


@pytest.mark.parametrize("how", ["crop by crop", "at once", "in pieces"])
@pytest.mark.parametrize("kind", ["simple", "complex"])
def test_counts_equal_the_plain_models(
    kind: str, how: str, parity: Path, complex_decider: str, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = complex_decider if kind == "complex" else str(parity / "models" / "clipseg")
    decider = Decider(folder, CPU, torch.float32)
    if how != "crop by crop":
        decider._ends = decider._pick_ends(crop_by_crop=False)
    if how == "in pieces":
        monkeypatch.setattr(ragged, "PIXELS_AT_A_TIME", 10_000)
        monkeypatch.setattr(resizing, "PIXELS_AT_A_TIME", 30_000)
    parts = decider([questions[:7], [], questions[7:]])
    assert [len(part) for part in parts] == [7, 0, len(questions) - 7]
    answers = [answer for part in parts for answer in part]
    for question, answer, expected in zip(questions, answers, plain_counts(folder, questions), strict=True):
        assert answer.sum() == expected.sum()
        # a pixel where two names score alike to the last bit may go either way
        assert np.abs(answer - expected).max() <= max(1, expected.sum() // 10_000), question.names


def test_answers_come_in_the_order_of_the_questions(parity: Path, questions: list[Question]) -> None:
    """Though crops whose masks have boxes of like size are looked at together."""
    decider = Decider(str(parity / "models" / "clipseg"), CPU, torch.float32)
    forth, back = decider([questions, questions[::-1]])
    assert all(np.array_equal(one, other) for one, other in zip(forth, back[::-1], strict=True))


def test_a_tower_is_no_deeper_than_what_is_tapped(complex_decider: str) -> None:
    assert len(Decider(complex_decider, CPU, torch.float32)._tower._layers) == 3


def test_names_of_any_length_and_no_question_at_all(parity: Path, questions: list[Question]) -> None:
    decider = Decider(str(parity / "models" / "clipseg"), CPU, torch.float32)
    assert decider([]) == []
    assert decider([[]]) == [[]]
    first = questions[0]
    long = dataclasses.replace(first, names=("word " * 400, "", "ünï"))
    ((counts,),) = decider([[long]])
    assert counts[:, 0].sum() == masks.decode(first.rle, SIZE_HW).sum()


def test_what_is_close_in_half_precision_is_decided_in_float32(
    parity: Path, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, groups = str(parity / "models" / "clipseg"), [questions[:4], [], questions[4:8]]
    half = Decider(folder, CPU, torch.bfloat16)
    whole = [count for counts in Decider(folder, CPU, torch.float32)(groups) for count in counts]
    rounded = [count for counts in half(groups) for count in counts]
    monkeypatch.setattr(decider_module, "CLOSE", -1.0)
    alone = [count for counts in half(groups) for count in counts]
    monkeypatch.undo()
    close = [len(count) > 1 and decider_module._is_close(count) for count in alone]
    assert [len(count) for count in rounded] == [3, 1, 2, 4] * 2
    assert 0 < sum(close) < 6, "some are close, some are not"
    for is_close, count, of_whole, of_half in zip(close, rounded, whole, alone, strict=True):
        assert np.array_equal(count, of_whole if is_close else of_half)


def test_what_overflows_in_half_precision_is_decided_in_float32(
    parity: Path, questions: list[Question], tmp_path: Path
) -> None:
    folder = str(parity / "models" / "clipseg")
    network = CLIPSegForImageSegmentation.from_pretrained(folder)
    network.clip.vision_model.embeddings.position_embedding.weight.data *= 1e6
    network.save_pretrained(tmp_path)
    AutoProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    half, whole = (Decider(str(tmp_path), CPU, number)([questions[:4]])[0] for number in (torch.float16, torch.float32))
    for rounded, count in zip(half, whole, strict=True):
        np.testing.assert_allclose(rounded, count, atol=5)


def test_a_decider_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load the decider: .*missing does not exist"):
        Decider(str(tmp_path / "missing"), CPU, torch.float32)
    with pytest.raises(InputError, match="hf download someone/clipseg"):
        Decider("someone/clipseg", CPU, torch.float32)
