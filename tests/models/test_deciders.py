"""SAM 3 and image-text models as deciders, each as its own classes answer, in folders of the hub's form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import decode, decode_crop, encode
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.choosing_decider import ASKED, ChoosingDecider
from fiftyone_ssa.models.concept_decider import ConceptDecider
from fiftyone_ssa.models.deciders import load_decider
from tests.models import tiny_chat, tiny_concepts

CPU = torch.device("cpu")
CROPS = [  # crop and mask box, both x0, y0, x1, y1 (exclusive)
    ((0, 0, 640, 427), (60, 30, 500, 400)),
    ((100, 50, 200, 250), (110, 60, 190, 240)),
    ((300, 10, 301, 200), (300, 50, 301, 150)),
    ((20, 300, 400, 303), (100, 301, 300, 302)),
    ((5, 5, 6, 6), (5, 5, 6, 6)),
]
NAMES = [("sky", "rocket"), ("tree", "sky", "a long name of a thing"), ("dog",), ("sky", "tree"), ("rocket", "car")]


@pytest.fixture(scope="module")
def questions(parity: Path) -> list[Question]:
    pixels = torch.from_numpy(np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB").resize((640, 427))))
    found = []
    for (crop, box), names in zip(CROPS, NAMES, strict=True):
        mask = np.zeros((427, 640), bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        part = pixels[crop[1] : crop[3], crop[0] : crop[2]]
        found.append(Question(part, crop, box, encode(mask), (427, 640), names, pixels))
    return found


@pytest.fixture(scope="module")
def sam3(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> str:
    return str(tiny_concepts.save(tmp_path_factory.mktemp("sam3"), parity / "models"))


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("chat")
    return {family: str(tiny_chat.save(family, root / family)) for family in ("idefics3", "qwen3_vl", "kosmos2")}


@torch.inference_mode()
def test_sam_3_scores_what_its_own_instances_cover(sam3: str, questions: list[Question]) -> None:
    """Each name with the whole image through the whole model, its post-processing, and IoU counted on its grid."""
    decider = load_decider(sam3, CPU, torch.float32)
    assert isinstance(decider, ConceptDecider)
    images = hf.AutoImageProcessor.from_pretrained(sam3, backend="torchvision")
    processor, network = hf.Sam3Processor(images, hf.AutoTokenizer.from_pretrained(sam3)), hf.Sam3Model
    network = network.from_pretrained(sam3, dtype=torch.float32).eval()
    (answers,) = decider([questions])
    for question, answer in zip(questions, answers, strict=True):
        if len(question.names) == 1:
            assert answer.tolist() == [1.0]
            continue
        mask = Image.fromarray(decode(question.rle, question.size_hw).astype(np.uint8) * 255)
        covered = torch.from_numpy(np.array(mask.convert("F"))) / 255
        covered = torch.nn.functional.interpolate(covered[None, None], size=(16, 16), mode="area")[0, 0]
        expected = []
        for name in question.names:
            inputs = processor(images=Image.fromarray(question.image.numpy()), text=name, return_tensors="pt")
            (found,) = processor.post_process_instance_segmentation(network(**inputs), threshold=0.0)
            expected.append(0.0)
            for score, instance in zip(found["scores"], found["masks"], strict=True):
                shared = (covered * instance).sum()
                share = shared / (covered.sum() + instance.sum() - shared)
                expected[-1] = max(expected[-1], float(score * share))
        if any(expected):
            np.testing.assert_allclose(answer, expected, atol=1e-5)
        else:
            assert answer.tolist() == [1 / len(expected)] * len(expected)


def test_sam_3_looks_once_at_an_image_and_answers_alike_in_any_company(sam3: str, questions: list[Question]) -> None:
    decider = load_decider(sam3, CPU, torch.float32)
    looks = []
    look = decider._concepts.look  # type: ignore[attr-defined]
    decider._concepts.look = lambda image: (looks.append(image), look(image))[1]  # type: ignore[attr-defined]
    other = dataclasses.replace(questions[0], image=questions[0].image.flip(0))
    (together,) = decider([[*questions, other]])
    assert len(looks) == 2
    for question, answer in zip([*questions, other], together, strict=True):
        np.testing.assert_allclose(decider([[question]])[0][0], answer, atol=1e-6)
    assert not np.allclose(together[0], together[-1])


def test_sam_3_as_it_is_published(sam3: str, questions: list[Question], tmp_path: Path) -> None:
    """`facebook/sam3` holds a video model, in which the one that is asked by name has a prefix."""
    detector = hf.Sam3Config.from_pretrained(sam3)
    tracker = {"vision_config": detector.vision_config.to_dict()}
    tracker |= {"memory_attention_hidden_size": 16, "memory_attention_num_layers": 1}
    config = hf.Sam3VideoConfig(detector_config=detector.to_dict())
    config.architectures = ["Sam3VideoModel"]
    config.save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = {f"detector_model.{key}": value for key, value in load_file(f"{sam3}/model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for part in (hf.AutoTokenizer.from_pretrained(sam3), hf.AutoImageProcessor.from_pretrained(sam3)):
        part.save_pretrained(tmp_path)
    found, expected = (load_decider(folder, CPU, torch.float32)([questions])[0] for folder in (str(tmp_path), sam3))
    assert [answer.tolist() for answer in found] == [answer.tolist() for answer in expected]


@torch.inference_mode()
@pytest.mark.parametrize("family", ["idefics3", "kosmos2"])
def test_an_image_text_model_chooses_by_its_letters(
    family: str, chats: dict[str, str], questions: list[Question]
) -> None:
    decider = load_decider(chats[family], CPU, torch.float32)
    assert isinstance(decider, ChoosingDecider)
    processor = hf.AutoProcessor.from_pretrained(chats[family], backend="torchvision")
    network = hf.AutoModelForImageTextToText.from_pretrained(chats[family], dtype=torch.float32).eval()
    letters = processor.tokenizer.convert_tokens_to_ids(list("ABC"))
    (answers,) = decider([questions])
    for question, answer in zip(questions, answers, strict=True):
        if len(question.names) == 1:
            assert answer.tolist() == [1.0]
            continue
        inside = decode_crop(question.rle, question.size_hw, question.crop_xyxy)[..., None]
        shown = Image.fromarray(np.where(inside, question.crop.numpy(), question.crop.numpy() // 3))
        names = "\n".join(f"{letter}. {name}" for letter, name in zip("ABC", question.names, strict=False))
        text, one_tile = ASKED.format(names=names), {}
        if family == "idefics3":
            content = [{"type": "image"}, {"type": "text", "text": text}]
            text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            one_tile = {"do_image_splitting": False, "size": {"longest_edge": tiny_chat.SIDE}}
        inputs = processor(images=[shown], text=[text], return_tensors="pt", **one_tile)
        logits = network(**inputs).logits[0, -1, letters[: len(question.names)]]
        np.testing.assert_allclose(answer, logits.double().softmax(0), atol=1e-4)
        np.testing.assert_allclose(decider([[question]])[0][0], answer, atol=1e-6)


def test_a_model_of_any_resolution_chooses_too(chats: dict[str, str], questions: list[Question]) -> None:
    decider = load_decider(chats["qwen3_vl"], CPU, torch.float32)
    answers, again = decider([questions, questions[::-1]])
    for answer, same, question in zip(answers, again[::-1], questions, strict=True):
        np.testing.assert_allclose(answer, same, atol=1e-6)
        assert answer.shape == (len(question.names),)
        assert answer.sum() == pytest.approx(1)


def test_more_names_than_letters_are_told(chats: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"chooses among 26 names at most; set open_vocabulary.top_k, which is 27, to"):
        load_decider(chats["idefics3"], CPU, torch.float32, top_k=27)
