"""A network replayed from a CUDA graph answers as it does launch by launch; without a GPU it is called plainly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from fiftyone_ssa.models.devices import Chunks, tf32_products
from fiftyone_ssa.models.replay import SHAPES, Replay
from fiftyone_ssa.models.segmenters import HuggingFaceSegmenter

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_cpu_is_asked_plainly_for_what_is_named() -> None:
    calls = []

    def network(**inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(inputs)
        return {"logits": inputs["pixels"] + 1}

    replay = Replay(network, CPU, "a test")
    for value in range(3):
        found = replay(pixels=torch.full((2,), float(value)))
        assert found["logits"].tolist() == [value + 1] * 2
    assert len(calls) == 3


def test_where_memory_runs_out_recordings_are_given_up_before_an_item_is() -> None:
    replay = Replay(lambda pixels: {"logits": pixels}, CPU, "a test")
    replay._recorded[()] = object()  # type: ignore[assignment]
    calls = []

    def full_at_first(items: Sequence[int]) -> list[int]:
        calls.append(items)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(items)

    assert Chunks(1, "a test").map(full_at_first, [7]) == [7]
    assert len(calls) == 2
    assert not replay._recorded
    calls.clear()
    with pytest.raises(torch.OutOfMemoryError):
        Chunks(1, "a test").map(full_at_first, [7])


def test_tf32_is_allowed_for_a_while() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with tf32_products(True):
        assert torch.backends.cuda.matmul.allow_tf32
    with tf32_products(False):
        assert torch.backends.cuda.matmul.allow_tf32 == before
    assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("model", ["oneformer-ade20k", "segformer-ade20k"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_segmenters_are_replayed_and_answer_the_same(model: str, dtype: torch.dtype, parity: Path) -> None:
    segmenter = HuggingFaceSegmenter(str(parity / "models" / model), torch.device("cuda:0"), dtype)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (90, 130, 3), np.uint8) for _ in range(4)]
    segmenter._network._able = False
    plain = [scores.values for scores in segmenter.scores(images)]
    segmenter._network._able = True
    replayed = [scores.values for scores in segmenter.scores(images)]
    assert len(segmenter._network._recorded) == 1
    for expected, found in zip(plain, replayed, strict=True):
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


@pytest.mark.gpu
@needs_gpu
def test_what_reads_from_the_device_is_not_recorded() -> None:
    def reads(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": pixels * (2 if float(pixels.sum()) > 0 else 3)}

    replay = Replay(reads, torch.device("cuda:0"), "a test")
    for value in (1.0, -1.0, 1.0, -1.0):
        found = replay(pixels=torch.full((2,), value, device="cuda:0"))
        assert found["logits"].tolist() == [value * (2 if value > 0 else 3)] * 2
    assert not replay._recorded
    after = Replay(lambda pixels: {"logits": pixels * 2}, torch.device("cuda:0"), "a test")
    for value in (1.0, 2.0, 3.0):
        found = after(pixels=torch.full((2,), value, device="cuda:0"))
        assert found["logits"].tolist() == [value * 2] * 2
    assert len(after._recorded) == 1  # one that fails spoils no other
    torch.ones(3, device="cuda:0").sum().item()  # the device still answers


@pytest.mark.gpu
@needs_gpu
def test_no_more_shapes_are_recorded_than_are_kept() -> None:
    replay = Replay(lambda pixels: {"logits": pixels.mul(2).sin()}, torch.device("cuda:0"), "a test")
    for turn in range(3):
        for size in range(1, SHAPES + 3):
            pixels = torch.full((size,), float(turn + size), device="cuda:0")
            torch.testing.assert_close(replay(pixels=pixels)["logits"], pixels.mul(2).sin())
    assert len(replay._recorded) == SHAPES
