"""Attention of narrow heads beside torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fiftyone_ssa.models import narrow_heads


@pytest.mark.parametrize("width", [1, 4, 8, 15, 16, 24])
@pytest.mark.parametrize("tokens", [1, 7, 257])
@pytest.mark.parametrize("size", [0.1, 3.0, 10.0])  # of the last, powers would overflow
def test_it_is_torchs_attention(width: int, tokens: int, size: float) -> None:
    torch.manual_seed(width * tokens)
    query, key, value = (torch.randn(3, tokens, 2, width).transpose(1, 2) * size for _ in range(3))
    expected = scaled_dot_product_attention(query.double(), key.double(), value.double(), scale=width**-0.5)
    found, weights = narrow_heads.attend(None, query, key, value, None, width**-0.5)
    assert weights is None
    assert found.shape == (3, tokens, 2, width)
    torch.testing.assert_close(found.transpose(1, 2).double(), expected, rtol=1e-3, atol=1e-4 * size)


def test_fewer_queries_than_keys_and_masks_are_served() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, tokens, 4) for tokens in (5, 40, 40))
    mask = torch.randn(2, 1, 5, 40)
    for given in (None, mask):
        found, _ = narrow_heads.attend(None, query, key, value, given, 0.5)
        expected = scaled_dot_product_attention(query, key, value, given, scale=0.5)
        torch.testing.assert_close(found.transpose(1, 2), expected, rtol=1e-4, atol=1e-5)


def test_weights_are_made_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(4, 3, 30, 4) for _ in range(3))
    whole, _ = narrow_heads.attend(None, query, key, value, None, 0.5)
    monkeypatch.setattr(narrow_heads, "WEIGHTS_AT_A_TIME", 2000)
    parts, _ = narrow_heads.attend(None, query, key, value, None, 0.5)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
