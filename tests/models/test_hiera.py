"""SAM 2's encoder, lightened, answers what transformers' own answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from fiftyone_ssa.models import hiera
from tests.models.tiny_sam_hub import FAMILIES, save


@pytest.mark.parametrize("strip", [1, 1 << 11, 1 << 22])
@torch.inference_mode()
def test_it_answers_as_transformers_does(strip: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all windows and rows are worked on at once, some at a time, or one after the other."""
    monkeypatch.setattr(hiera, "STRIP_NUMBERS", strip)
    model = getattr(transformers, FAMILIES["sam2"][0]).from_pretrained(save("sam2", tmp_path)).eval()
    side = model.prompt_encoder.input_image_size
    pixels = torch.randn(2, 3, side, side)
    plain = model.get_image_embeddings(pixels)
    blocks = model.vision_encoder.backbone.blocks
    assert any(block.query_stride for block in blocks)
    assert any(block.window_size for block in blocks)
    hiera.lighten(model.vision_encoder.backbone)
    for found, own in zip(model.get_image_embeddings(pixels), plain, strict=True):
        torch.testing.assert_close(found, own, atol=2e-4, rtol=1e-4)
