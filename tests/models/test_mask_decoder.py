"""The mask decoder for many points in one image answers what transformers' own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from fiftyone_ssa.models import mask_decoder
from fiftyone_ssa.models.mask_decoder import PointDecoder
from tests.models.tiny_sam_hub import FAMILIES, save


def network_and_grids(family: str, folder: Path, seed: int) -> tuple[Any, list[torch.Tensor]]:
    """A decoder; embeddings and positions of 3 x 5 cells, a dense prompt, and fine features where it has them."""
    model = getattr(transformers, FAMILIES[family][0]).from_pretrained(save(family, folder)).eval()
    torch.manual_seed(seed)
    channels = model.mask_decoder.hidden_size
    grids = [*torch.randn(2, 1, channels, 3, 5), torch.randn(1, channels, 1, 1).expand(-1, -1, 3, 5)]
    if family != "sam":
        grids += [torch.randn(1, channels // 8, 12, 20), torch.randn(1, channels // 4, 6, 10)]
    return model.mask_decoder, grids


@pytest.mark.parametrize("family", ["sam", "sam2", "edgetam", "sam3_tracker"])
@pytest.mark.parametrize(("points", "strip"), [(1, 1 << 17), (7, 1 << 17), (3, 1)])
@torch.inference_mode()
def test_it_answers_as_transformers_does(
    family: str, points: int, strip: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all cells are worked on at once or one after the other."""
    monkeypatch.setattr(mask_decoder, "STRIP_NUMBERS", strip)
    network, (embeddings, positions, dense, *features) = network_and_grids(family, tmp_path, points)
    prompts = torch.randn(points, 2, network.hidden_size)
    decoder = PointDecoder(network)
    masks, scores = decoder(decoder.cells(embeddings + dense, positions, features), prompts)
    own = network(
        image_embeddings=embeddings,
        image_positional_embeddings=positions,
        sparse_prompt_embeddings=prompts[None],
        dense_prompt_embeddings=dense,
        multimask_output=True,
        **({"high_resolution_features": features} if features else {}),
    )
    assert masks.shape == (points, 3, 12, 20)
    torch.testing.assert_close(masks, own[0][0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores, own[1][0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_points_whose_masks_all_fall_short_are_not_drawn(tmp_path: Path) -> None:
    network, (embeddings, positions, dense, *features) = network_and_grids("sam2", tmp_path, 0)
    prompts = 9 * torch.randn(8, 2, network.hidden_size)
    decoder = PointDecoder(network)
    cells = decoder.cells(embeddings + dense, positions, features)
    masks, scores = decoder(cells, prompts)
    best = scores.amax(1)
    middle = float(best.sort()[0][4])
    some, same = decoder(cells, prompts, middle)
    wanted = best >= middle
    assert wanted.sum() == 4
    assert torch.equal(scores, same)
    torch.testing.assert_close(some[wanted], masks[wanted], atol=1e-5, rtol=1e-5)
    assert (some[~wanted] == -1).all()
    assert (decoder(cells, prompts, 1e9)[0] == -1).all()
