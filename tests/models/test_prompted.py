"""Image-text models as captioners: each family answers as its own class and processor do, whatever else is asked."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.prompted import PromptedCaptioner
from fiftyone_ssa.models.prompts import PROMPTS, WHOLE, names_in, names_or_sentence, prompt_for
from fiftyone_ssa.naming.engine import build_engine
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.types import Inputs
from tests.models import tiny_chat

CPU = torch.device("cpu")
SQUARES = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "lfm2_vl", "llava_next", "llava_onevision", "mistral3", "gemma4")
ASKED = {
    "florence2": f"<REGION_TO_CATEGORY>{WHOLE}",
    "paligemma": "<image>answer en what is this?",
    "kosmos2": "Question: What is this? Answer:",
}
PROMPTED = tuple(family for family in tiny_chat.FAMILIES if family != "blip_2")
Folders = dict[str, Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("chat")
    there = importlib.util.find_spec("num2words") is not None
    return {name: tiny_chat.save(name, root / name) for name in tiny_chat.FAMILIES if there or name != "smolvlm"}


@pytest.fixture(scope="module")
def crops(parity: Path) -> list[torch.Tensor]:
    """A square of 448 pixels, then what is small, thin and large."""
    image = torch.from_numpy(np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB").resize((640, 448))))
    sizes = [(448, 448), (1, 1), (3, 90), (90, 3), (1, 250), (40, 60), (300, 500)]
    return [image[:height, 9 : 9 + width] for height, width in sizes]


def test_models_that_think_first_are_told_not_to(folders: Folders, tmp_path: Path) -> None:
    """They would be cut off while they do."""
    folder = shutil.copytree(folders["qwen3_vl"], tmp_path / "thinks")
    template = folder / "chat_template.jinja"
    thinks = "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    template.write_text(template.read_text() + thinks)
    captioner = load_captioner(str(folder), CPU, torch.float32)
    assert isinstance(captioner, PromptedCaptioner)
    assert "<think>" not in captioner._text
    assert captioner._text == _chat(hf.AutoProcessor.from_pretrained(folders["qwen3_vl"]))


@torch.inference_mode()
@pytest.mark.parametrize("family", PROMPTED)
def test_answers_are_the_models_own(family: str, folders: Folders, crops: list[torch.Tensor]) -> None:
    if family not in folders:
        pytest.skip("transformers' SmolVLM needs num2words")
    if family == "internvl" and tuple(map(int, hf.__version__.split(".")[:2])) < (5, 24):
        pytest.skip("earlier transformers cut InternVL's crops into tiles, so they are shown on a square")
    folder = str(folders[family])
    captioner = load_captioner(folder, CPU, torch.float32, max_new_tokens=6)
    assert isinstance(captioner, PromptedCaptioner)
    assert captioner.only_names
    assert captioner._parts.square is (family in SQUARES)
    processor = hf.AutoProcessor.from_pretrained(folder, backend="torchvision")
    network = hf.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    text = ASKED.get(family) or _chat(processor)
    one_tile: dict[str, Any] = {"internvl": {"crop_to_patches": False}, "lfm2_vl": {"do_image_splitting": False}}.get(
        family, {}
    )
    if family in ("idefics3", "smolvlm"):
        one_tile = {"do_image_splitting": False, "size": {"longest_edge": tiny_chat.SIDE}}
    expected = []
    for crop in crops[:1] if family in SQUARES else crops:
        images: Any = Image.fromarray(crop.numpy())
        inputs = processor(images=[images], text=[text], return_tensors="pt", **one_tile)
        tokens = network.generate(**inputs, max_new_tokens=6, do_sample=False)
        start = 0 if family == "florence2" else inputs["input_ids"].shape[1]
        expected.append(names_in(processor.batch_decode(tokens[:, start:], skip_special_tokens=True)[0]))
    answers, again = captioner([crops, crops[::-1]])
    assert answers[: len(expected)] == expected
    assert again == answers[::-1]
    assert [captioner([[crop]])[0][0] for crop in crops] == answers
    assert len(set(answers)) > 1  # the image counts
    assert captioner([[], []]) == [[], []]


def _chat(processor: Any) -> str:
    content = [{"type": "image"}, {"type": "text", "text": PROMPTS["name"]}]
    text: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return text


@torch.inference_mode()
def test_blip_2_captions_alone(folders: Folders, crops: list[torch.Tensor]) -> None:
    folder = str(folders["blip_2"])
    captioner = load_captioner(folder, CPU, torch.float32, max_new_tokens=6)
    processor = hf.AutoProcessor.from_pretrained(folder, backend="torchvision")
    network = hf.Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for crop in crops:
        inputs = processor(images=Image.fromarray(crop.numpy()), return_tensors="pt")
        tokens = network.generate(pixel_values=inputs["pixel_values"], max_new_tokens=6, do_sample=False)
        expected.append(processor.decode(tokens[0], skip_special_tokens=True).strip())
    assert captioner([crops]) == [expected]
    assert not captioner.only_names


def test_another_prompt_is_another_question(folders: Folders, crops: list[torch.Tensor]) -> None:
    def asked(prompt: str, family: str = "idefics3") -> list[Any]:
        return list(
            load_captioner(str(folders[family]), CPU, torch.float32, max_new_tokens=6, prompt=prompt)([crops])[0]
        )

    assert asked("names") != asked("name")
    assert asked("What colour is it?") != asked(PROMPTS["name"])
    assert all(isinstance(answer, str) for answer in asked("caption"))
    assert asked("<DETAILED_CAPTION>", "florence2") != asked("caption", "florence2")


def test_half_precision_runs(folders: Folders, crops: list[torch.Tensor]) -> None:
    for family in ("qwen3_vl", "florence2"):
        captioner = load_captioner(str(folders[family]), CPU, torch.bfloat16, max_new_tokens=3)
        assert len(captioner([crops])[0]) == len(crops)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("A red car", ("red car",)),
        ("This is a cat.", ("cat",)),
        ("The object in the image is the Eiffel Tower.", ("eiffel tower",)),
        ("1. Car\n2) vehicle\n- a car\n", ("car", "vehicle")),
        ("dog, the animal; pet / hound", ("dog", "animal", "pet", "hound")),
        ("car<loc_1><loc_2>person<loc_3>", ("car", "person")),
        ("I am sorry, but I cannot tell what is in this picture", ("i am sorry",)),
        ('["car", "fire truck"]', ("car", "fire truck")),
        ("(a) car", ("car",)),
        ("1. “Car” 2. bus", ("car", "bus")),
        ("1.5 liter bottle", ("1.5 liter bottle",)),
        ("T. rex", ("t. rex",)),
        ("一、汽车\n二、「树」。", ("汽车", "树")),
        ("１．猫、犬", ("猫", "犬")),
        ("٢. سيارة، شجرة", ("سيارة", "شجرة")),
        ("- \n ... ", ()),
        ("  \n", ()),
        ("", ()),
    ],
)
def test_names_in_an_answer(answer: str, names: tuple[str, ...]) -> None:
    assert names_in(answer) == names


def test_a_list_of_names_and_a_sentence() -> None:
    assert names_or_sentence("a cat, an animal") == ("cat", "animal")
    assert names_or_sentence("cat") == ("cat",)
    assert names_or_sentence("1. cat") == names_or_sentence('"cat"') == ("cat",)
    assert names_or_sentence("A cat sits on the  old mat.") == "A cat sits on the old mat."
    assert prompt_for("llava", "What is it?") == ("What is it?", "either")


def test_what_cannot_be_asked_is_told(folders: Folders, parity: Path, tmp_path: Path) -> None:
    def told(model: Path, prompt: str = "name") -> str:
        with pytest.raises(InputError) as caught:
            load_captioner(str(model), CPU, torch.float32, prompt=prompt)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "takes a task token for a prompt" in told(folders["florence2"], "What is it?")
    assert "(florence2) cannot be asked '<NOTHING>x<OD>'" in told(folders["florence2"], "<NOTHING>x<OD>")
    assert "open_vocabulary.prompt is empty" in told(folders["llava"], " ")
    assert "captions without a prompt; leave open_vocabulary.prompt" in told(parity / "models/blip", "What is it?")
    bare = shutil.copytree(folders["llava"], tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    (bare / "model.safetensors").unlink()  # told before weights are looked for
    assert "(llava) has no chat template to be asked through; give a captioner (BLIP" in told(bare)
    config = json.loads((bare / "config.json").read_text())
    for kind, name in (("got_ocr2", "GotOcr2ForConditionalGeneration"), ("clip", "CLIPModel")):
        (bare / "config.json").write_text(json.dumps({**config, "model_type": kind, "architectures": [name]}))
        assert f"cannot load the captioner: {bare} is a {name}; give a captioner (BLIP" in told(bare)


def test_names_need_no_spacy(folders: Folders, parity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiftyone_ssa.naming.phrases.MODELS", ())
    settings = {
        "open_vocabulary.captioner": str(folders["idefics3"]),
        "open_vocabulary.segmenters": [],
        "open_vocabulary.decider": "filter",
        "open_vocabulary.decision": "published",
        "open_vocabulary.max_new_tokens": 6,
        "masks.source": "existing",
    }
    engine = build_engine(load_preset("mini-engine", settings), CPU, torch.float32)
    image = np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB"))
    mask = np.zeros(image.shape[:2], bool)
    mask[50:200, 50:200] = True
    (annotation,) = engine([Inputs(image, mask_set(mask.shape, [encode(mask)]))])
    assert annotation.labels[0] == annotation.captions[0]
    assert annotation.label_sources == ("caption",)


@pytest.mark.parametrize("family", ["idefics3", "kosmos2", "florence2"])
def test_a_part_is_asked_about_with_its_whole(family: str, folders: Folders, crops: list[torch.Tensor]) -> None:
    if family not in folders:
        pytest.skip(f"no small model of {family} here")
    captioner = load_captioner(str(folders[family]), torch.device("cpu"), torch.float32, max_new_tokens=8)
    assert isinstance(captioner, PromptedCaptioner)
    found = captioner.parts([crops[:2], crops[2:3]], [["car", "sofa"], ["car"]])
    assert [len(group) for group in found] == [2, 1]
    alone = captioner.parts([crops[2:3]], [["car"]])
    assert alone[0] == found[1]
