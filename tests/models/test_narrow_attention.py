"""Narrow heads on the CPU attend as the formula says, however large their scores are."""

from __future__ import annotations

import pytest
import torch

from fiftyone_ssa.models import narrow_attention
from fiftyone_ssa.models.narrow_attention import attention


def heads(width: int, factor: float = 1.0, rows: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As a network hands them over: parts of one product, in another order."""
    random = torch.Generator().manual_seed(0)
    three = torch.randn(rows, 65, 3, 2, width, generator=random)
    query, key, value = three.permute(2, 0, 3, 1, 4)
    return query * factor, key, value


def plainly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    scores = scale * query.double() @ key.double().mT
    return (torch.softmax(scores, -1) @ value.double()).float()


@pytest.mark.parametrize("width", [1, 4, 15, 16])
@pytest.mark.parametrize("factor", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("asked", [65, 7, 1])
def test_attention_is_the_formula(width: int, factor: float, asked: int) -> None:
    query, key, value = heads(width, factor)
    scale = width**-0.5
    found = attention(query[:, :, :asked], key, value, scale)
    assert found.shape == (3, 2, asked, width)
    torch.testing.assert_close(found, plainly(query[:, :, :asked], key, value, scale), rtol=1e-3, atol=1e-5 * factor)


@pytest.mark.parametrize("tokens", [1, 15, 16, 33, 64])
def test_maxima_are_found_of_any_number_of_tokens(tokens: int) -> None:
    query, key, value = (part[:, :, :tokens] for part in heads(4, 1000.0))
    torch.testing.assert_close(attention(query, key, value, 0.5), plainly(query, key, value, 0.5), rtol=1e-3, atol=0.01)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scores_far_from_nought_neither_overflow_nor_vanish(sign: float) -> None:
    query, key = torch.full((1, 1, 3, 2), sign * 300.0), torch.full((1, 1, 5, 2), 300.0)
    value = torch.arange(10.0).view(1, 1, 5, 2)
    torch.testing.assert_close(attention(query, key, value, 1.0), value.mean(2, keepdim=True).expand(1, 1, 3, 2))


def test_rows_are_computed_alike_whatever_is_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = heads(4, rows=5)
    query[2] *= 1000.0  # the others need no maximum taken off
    together = attention(query, key, value, 0.5)
    assert together.isfinite().all()
    monkeypatch.setattr(narrow_attention, "SCORES_AT_ONCE", 3 * 65 * 65)  # ends within a row's heads
    torch.testing.assert_close(attention(query, key, value, 0.5), together, rtol=0, atol=1e-6)
    for row in range(5):
        alone = attention(query[row : row + 1], key[row : row + 1], value[row : row + 1], 0.5)
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)
