"""What is changed of transformers' segmenters and captioner changes no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, OneFormerForUniversalSegmentation

from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.captioning import BlipCaptioner, is_plain
from fiftyone_ssa.models.class_filter import ClassFilter
from fiftyone_ssa.models.resizing import squares_of
from fiftyone_ssa.models.unwaiting import let_run_ahead

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def crops(parity: Path) -> list[torch.Tensor]:
    image = torch.from_numpy(np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB")))
    return [image[:100, :90], image, image[3:9, 10:300], image[50:51, 60:61], image[20:400, 300:330]]


@torch.inference_mode()
def test_oneformer_answers_the_same(parity: Path) -> None:
    torch.manual_seed(0)
    network = OneFormerForUniversalSegmentation.from_pretrained(parity / "models" / "oneformer-ade20k").eval()
    asked = {"pixel_values": torch.randn(1, 3, 64, 96), "task_inputs": torch.randint(0, 9, (1, 77))}
    before = network(**asked)
    let_run_ahead(network)
    after = network(**asked)
    assert torch.equal(before.masks_queries_logits, after.masks_queries_logits)
    assert torch.equal(before.class_queries_logits, after.class_queries_logits)


@torch.inference_mode()
def test_blip_writes_the_same_without_waiting(parity: Path, crops: list[torch.Tensor]) -> None:
    captioner = load_captioner(str(parity / "models" / "blip"), CPU, torch.float32)
    assert isinstance(captioner, BlipCaptioner)
    states = torch.stack(list(captioner._encode(crops)))
    written, generated = captioner._words(captioner._writer(states, 20)), captioner._words(captioner._generate(states))
    assert written == generated
    assert len(set(written)) > 1


def test_settings_that_change_what_is_greedy_are_left_to_transformers(parity: Path) -> None:
    captioner = load_captioner(str(parity / "models" / "blip"), CPU, torch.float32)
    settings = captioner._network.text_decoder.generation_config  # type: ignore[attr-defined]
    assert is_plain(settings)
    for name, value in (("num_beams", 3), ("repetition_penalty", 1.2), ("min_length", 4), ("bad_words_ids", [[5]])):
        before = getattr(settings, name)
        setattr(settings, name, value)
        assert not is_plain(settings)
        setattr(settings, name, before)


@torch.inference_mode()
def test_crops_for_blip_and_clip_are_shaped_at_once_as_one_by_one(parity: Path, crops: list[torch.Tensor]) -> None:
    processor = AutoImageProcessor.from_pretrained(parity / "models" / "blip", backend="torchvision")
    squares = squares_of(processor, CPU)
    assert squares is not None
    expected = processor([crop.permute(2, 0, 1) for crop in crops], input_data_format="channels_first")["pixel_values"]
    step = 1.01 / 255 / min(processor.image_std)  # torchvision's CPU rounds twice
    for found, one in zip(squares(crops), expected, strict=True):
        torch.testing.assert_close(found, torch.as_tensor(one), rtol=0, atol=2 * step)
    chosen = ClassFilter(f"local-dir:{parity / 'models' / 'clip'}", CPU, torch.float32)
    by_pillow = torch.stack(list(chosen._embed_images(crops)))
    chosen._squares = chosen._all_at_once(CPU)
    assert chosen._squares is not None
    torch.testing.assert_close(torch.stack(list(chosen._embed_images(crops))), by_pillow, rtol=0, atol=0.02)


def test_a_processor_that_does_more_is_left_alone(parity: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(parity / "models" / "blip", backend="torchvision")
    processor.do_center_crop = True
    assert squares_of(processor, CPU) is None
    assert squares_of(object(), CPU) is None
