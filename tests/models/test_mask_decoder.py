"""The mask decoder for many points in one image answers what transformers' own answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from fiftyone_ssa.models.mask_decoder import PointDecoder
from tests.models.tiny_sam_hub import FAMILIES, save


@pytest.mark.parametrize("family", ["sam", "sam2", "edgetam", "sam3_tracker"])
@pytest.mark.parametrize("points", [1, 7])
def test_it_answers_as_transformers_does(family: str, points: int, tmp_path: Path) -> None:
    model = getattr(transformers, FAMILIES[family][0]).from_pretrained(save(family, tmp_path)).eval()
    torch.manual_seed(points)
    channels = model.mask_decoder.hidden_size
    grid = torch.randn(2, 1, channels, 3, 5)
    given = {
        "image_embeddings": grid[0],
        "image_positional_embeddings": grid[1],
        "sparse_prompt_embeddings": torch.randn(1, points, 2, channels),
        "dense_prompt_embeddings": torch.randn(1, channels, 1, 1).expand(-1, -1, 3, 5),
        "multimask_output": True,
    }
    if family != "sam":
        given["high_resolution_features"] = [
            torch.randn(1, channels // 8, 12, 20),
            torch.randn(1, channels // 4, 6, 10),
        ]
    with torch.inference_mode():
        masks, scores = PointDecoder(model.mask_decoder)(**given)
        own = model.mask_decoder(**given)
    assert masks.shape == (1, points, 3, 12, 20)
    torch.testing.assert_close(masks, own[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores, own[1], atol=1e-5, rtol=1e-4)
