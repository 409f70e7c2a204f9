from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    BlipForConditionalGeneration,
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    VisionEncoderDecoderModel,
)

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.captioner import BlipCaptioner, Captioner, load_captioner
from tests.models.hub_folders import HubFolders

CPU = torch.device("cpu")
BOXES = [(0, 0, 1, 90), (5, 5, 95, 6), (9, 0, 12, 300), (0, 7, 451, 10), (40, 50, 41, 51), (0, 0, 451, 300)]


@pytest.fixture(scope="module")
def crops(parity: Path) -> list[torch.Tensor]:
    """Crops of a photograph: 1 and 3 pixels high or wide, one pixel, the whole, and forty more."""
    image = torch.from_numpy(np.array(Image.open(parity / "inputs" / "chelsea.png").convert("RGB")))
    corners = np.random.default_rng(0).integers(0, (400, 250), (40, 2)).tolist()
    boxes = BOXES + [(x, y, x + 20 + 3 * i, y + 50 + i) for i, (x, y) in enumerate(corners)]
    return [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]


@pytest.fixture(scope="module")
def git(parity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GIT, saved as a folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("git")
    tokenizer = AutoProcessor.from_pretrained(parity / "models" / "blip").tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    tokens = {"vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = GitConfig(vision_config=vision, max_position_embeddings=64, **sizes, **tokens)
    GitForCausalLM(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    GitProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@torch.inference_mode()
def test_blip_captions_as_one_by_one(parity: Path, crops: list[torch.Tensor]) -> None:
    folder = str(parity / "models" / "blip")
    captioner = load_captioner(folder, CPU, torch.float32)
    assert isinstance(captioner, BlipCaptioner)
    processor = AutoProcessor.from_pretrained(folder)
    network = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for crop in crops:
        inputs = processor(images=Image.fromarray(crop.numpy()), return_tensors="pt")
        tokens = network.generate(**inputs, max_new_tokens=20, do_sample=False)
        expected.append(processor.decode(tokens[0], skip_special_tokens=True))
    assert captioner([crops, crops[::-1]]) == [expected, expected[::-1]]
    assert captioner([]) == []


def test_other_captioners_are_served_too(git: Path, crops: list[torch.Tensor]) -> None:
    captioner = load_captioner(str(git), CPU, torch.float32, max_new_tokens=5)
    (captions,) = captioner([crops])
    assert len(captions) == len(crops)
    assert max(len(caption.split()) for caption in captions) <= 5
    assert [captioner([[crop]])[0][0] for crop in crops[:10]] == captions[:10]


def test_captions_are_no_longer_than_asked(parity: Path, crops: list[torch.Tensor]) -> None:
    captioner = load_captioner(str(parity / "models" / "blip"), CPU, torch.float32, max_new_tokens=3)
    assert {len(caption.split()) for caption in captioner([crops])[0]} == {3}


def test_bfloat16_runs(parity: Path, crops: list[torch.Tensor]) -> None:
    captions = load_captioner(str(parity / "models" / "blip"), CPU, torch.bfloat16)([crops[:8]])[0]
    assert all(captions)


def test_a_captioner_that_is_not_there_is_told(tmp_path: Path, parity: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load the captioner: .*missing does not exist"):
        load_captioner(str(tmp_path / "missing"), CPU, torch.float32)
    with pytest.raises(InputError, match=r"hf download someone/captioner"):
        load_captioner("someone/captioner", CPU, torch.float32)
    with pytest.raises(InputError, match="cannot load the captioner"):
        load_captioner(str(parity / "models" / "segformer-ade20k"), CPU, torch.float32)


def test_the_base_class_serves_every_kind() -> None:
    assert issubclass(BlipCaptioner, Captioner)


def test_vit_gpt2_whose_repository_names_no_processor(
    tmp_path: Path, parity: Path, crops: list[torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = HubFolders(tmp_path, parity / "models").vit_gpt2()
    captioner = load_captioner(str(folder), CPU, torch.float32, max_new_tokens=4)
    capfd.readouterr()
    (captions,) = captioner([crops])
    assert len(captions) == len(crops)
    assert all(captions)
    network = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder)(Image.fromarray(crops[-1].numpy()), return_tensors="pt")
    capfd.readouterr()
    tokens = network.generate(**pixels, max_new_tokens=4, do_sample=False)
    assert captions[-1] == tokenizer.decode(tokens[0], skip_special_tokens=True).strip()


def test_what_needs_a_prompt_after_all_is_told(parity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> None:
        raise ValueError("you must give\ninput_ids")

    monkeypatch.setattr(Captioner, "_caption", ask)
    folder = HubFolders(tmp_path, parity / "models").vit_gpt2()
    with pytest.raises(InputError, match=r"cannot caption an image without a prompt.*you must give input_ids\)$"):
        load_captioner(str(folder), CPU, torch.float32)
