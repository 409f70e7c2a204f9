"""What a GPU would be given: launches and waits do not grow, counted on models as deep as engine-base's."""

from __future__ import annotations

import pytest
import torch

from benchmarks._counts import counting
from benchmarks.host import counts, host_ms


def test_launches_of_the_decider_and_waits_of_an_image() -> None:
    found = counts(32)
    assert 5 < found["launches_of_the_decider_a_mask"] < 12, found  # 1,101 of 100 masks; 20 are allowed
    assert 5 < found["waits"] < 20, found  # 40 are allowed
    assert found["launches"]["filter"] < 200, found
    assert found["launches"]["segment"] < 2500, found


def test_the_hosts_part_is_told_by_stage() -> None:
    found = host_ms(6, (150, 225))
    assert {"JPEG", "masks from JSON", "vote", "rank", "decide", "results as JSON", "in all"} <= set(found)
    assert found["in all"] < 500
    assert found["Pillow's decoder alone"] == min(run["Pillow's decoder alone"] for run in found["runs"])


@pytest.mark.parametrize(
    ("what", "launches", "waits"),
    [
        (lambda x: (x + 1).sum().item(), 2, 1),
        (lambda x: x[x > 0], 2, 1),
        (lambda x: torch.where(x > 0), 2, 1),
        (lambda x: x.view(-1)[1:].unsqueeze(0), 0, 0),
        (lambda x: x.cpu(), 1, 1),
        (lambda x: x * torch.tensor([1.0, 2.0]), 1, 1),
        (lambda x: bool((x > 0).all()), 2, 1),
    ],
)
def test_what_counts(what: object, launches: int, waits: int) -> None:
    with torch.inference_mode():
        x = torch.tensor([1.0, -2.0])
        with counting() as watch:
            what(x)  # type: ignore[operator]
    assert (sum(watch.launches.values()), sum(watch.waits.values())) == (launches, waits), watch.launches
