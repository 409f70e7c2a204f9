"""The families keep their slots' contracts on a stand-in of MPS: no float64, no operation that MPS lacks.

Not CLIPSeg as decider: its crops are gathered by the addresses of their storage, which the stand-in has none of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.hub import loading
from tests.models.mps_stand_in import MPS, stand_in
from tests.models.slot_families import FAMILIES
from tests.models.test_slots import CONTRACT, LOAD

RUN_THERE = {
    "masks": "SAM|SAM-HQ|SAM 2.1, as published|EdgeTAM|SAM 3's tracker|Mask2Former|RF-DETR, instance",
    "segmenter": "SegFormer|UperNet|DPT|BEiT|Mask2Former|MaskFormer|EoMT, semantic|OneFormer|OneFormer with DiNAT|"
    "MobileViT with DeepLab|MobileNetV2 with DeepLab",
    "segmenter with a vocabulary": "CLIPSeg|GroupViT|SAM 3, asked by name",
    "captioner": "BLIP|GIT|ViT-GPT2|BLIP-2|Florence-2|Qwen2.5-VL|Qwen3-VL|SmolVLM, as `Idefics3`|LLaVA|PaliGemma|"
    "InternVL|Kosmos-2|Gemma 3",
    "class filter": "CLIP of open_clip|CLIP|MetaCLIP 2|SigLIP|SigLIP 2|SigLIP 2 naflex",
    "decider": "SAM 3, asked by name|SmolVLM, as `Idefics3`|Qwen3-VL",
}


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    with torch.inference_mode(), stand_in():
        yield


PAIRS = [(slot, family) for slot, some in RUN_THERE.items() for family in some.split("|")]


@pytest.mark.parametrize(("slot", "family"), PAIRS)
def test_a_family_runs_on_mps(slot: str, family: str, tmp_path: Path, parity: Path) -> None:
    model = str(FAMILIES[family](tmp_path / "model", parity / "models"))
    CONTRACT[slot](LOAD[slot](model, MPS), MPS)


@pytest.mark.parametrize("wrong", ["float64", "another device", "an operation"])
def test_the_stand_in_refuses_what_mps_refuses(wrong: str) -> None:
    there = torch.ones(3, device=MPS)
    refused = {
        "float64": (TypeError, "doesn't support float64", lambda: torch.as_tensor(np.ones(3), device=MPS)),
        "another device": (RuntimeError, "on the same device", lambda: there + torch.ones(3)),
        "an operation": (NotImplementedError, "PYTORCH_ENABLE_MPS_FALLBACK=1", lambda: torch.mode(there)),
    }
    error, words, act = refused[wrong]
    with pytest.raises(error, match=words):
        act()


def test_a_missing_operation_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with (
        pytest.raises(
            InputError, match="set PYTORCH_ENABLE_MPS_FALLBACK=1 before the program begins, or take --device"
        ),
        loading(str(tmp_path), "the decider"),
    ):
        torch.mode(torch.ones(3, device=MPS))
