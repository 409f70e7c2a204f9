"""Rough times: every preset has one, and it follows the settings that matter."""

from __future__ import annotations

import pytest

from fiftyone_ssa.models.hardware import Hardware
from fiftyone_ssa.models.speeds import seconds_an_image
from fiftyone_ssa.presets import load_preset, preset_names

CPU = Hardware("CPU", None)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_time_and_a_gpu_is_faster(name: str) -> None:
    preset = load_preset(name)
    cpu, gpu = seconds_an_image(preset, CPU), seconds_an_image(preset, Hardware("H100", 80))
    assert cpu is not None
    assert gpu is not None
    assert 0 < gpu < cpu


def test_it_follows_points_masks_and_where_masks_come_from() -> None:
    def cpu(name: str, masks: float = 100, **changes: object) -> float:
        seconds = seconds_an_image(load_preset(name, changes), CPU, masks=masks)
        assert seconds is not None
        return seconds

    whole = cpu("ssa-ade20k")
    assert cpu("ssa-ade20k", **{"masks.source": "existing"}) < whole / 20
    assert cpu("ssa-ade20k", **{"masks.points_per_side": 32}) < whole
    assert cpu("ssa-ade20k", **{"masks.crop_n_layers": 0}) < whole / 1.5
    looks = cpu("ssa-ade20k", **{"semantic.check": "colourless"}) - whole
    assert looks == pytest.approx(8.2, rel=0.01)
    assert cpu("engine-base", masks=10) < cpu("engine-base") / 3


def test_a_model_of_ones_own_is_not_guessed_at() -> None:
    assert seconds_an_image(load_preset("ssa-ade20k", {"semantic.model": "who/knows"}), CPU) is None


def test_cores_share_the_work() -> None:
    preset = load_preset("ssa-ade20k")
    one, four = seconds_an_image(preset, CPU), seconds_an_image(preset, Hardware("CPU", None, cores=4))
    assert one is not None
    assert four == one / 4
