"""Every segmenter passes one contract; Hugging Face's answer as its own processors give it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import Segmenter
from fiftyone_ssa.models.segmenters import HuggingFaceSegmenter, ScoringSegmenter, adopt, load_segmenter
from fiftyone_ssa.types import Image, SemanticMap
from tests.models.tiny_segmenters import FAMILIES, save

CPU = torch.device("cpu")


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Callable[[str], Path]:
    made: dict[str, Path] = {"oneformer": parity / "models/oneformer-coco"}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = save(family, tmp_path_factory.mktemp(family))
        return made[family]

    return get


@pytest.mark.parametrize("family", [*FAMILIES, "oneformer"])
def test_every_family_keeps_the_contract(family: str, folder: Callable[[str], Path]) -> None:
    segmenter = load_segmenter(str(folder(family)), CPU, torch.float32)
    assert isinstance(segmenter, Segmenter)
    assert isinstance(segmenter, ScoringSegmenter)
    assert len(segmenter.classes) > 1
    assert all(name == name.strip() for name in segmenter.classes)
    images = [photo(50, 90), photo(90, 50, 1), photo(1, 40), photo(3, 3)]
    maps = segmenter(images)
    assert [answer.size_hw for answer in maps] == [image.shape[:2] for image in images]
    for image, answer in zip(images, maps, strict=True):
        assert answer.names == tuple(segmenter.classes)
        np.testing.assert_array_equal(segmenter([image])[0].ids, answer.ids)
    shares = segmenter.scores(images[:1])[0].probabilities()
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("family", [*FAMILIES, "oneformer"])
@pytest.mark.parametrize("size_hw", [(61, 97), (97, 61)])
def test_the_map_is_the_processors_own(family: str, size_hw: tuple[int, int], folder: Callable[[str], Path]) -> None:
    segmenter = load_segmenter(str(folder(family)), CPU, torch.float32)
    assert isinstance(segmenter, HuggingFaceSegmenter)
    image = photo(*size_hw, seed=2)
    task = {"task_inputs": ["semantic"]} if family == "oneformer" else {}
    inputs = segmenter.processor([torch.from_numpy(image.transpose(2, 0, 1).copy())], return_tensors="pt", **task)
    offsets = inputs.pop("patch_offsets", None)
    with torch.inference_mode():
        outputs = segmenter.model(**inputs)
        if family == "eomt":
            outputs.patch_offsets = offsets
        if family == "segformer":  # published: align_corners=True, which its processor does not offer
            expected = torch.nn.functional.interpolate(outputs.logits, size_hw, mode="bilinear", align_corners=True)
            expected = expected[0].argmax(0)
        else:
            expected = segmenter.processor.post_process_semantic_segmentation(outputs, target_sizes=[size_hw])[0]
    assert (segmenter([image])[0].ids == expected.numpy()).mean() > 0.999


class Halves:
    """Left half class 0, right half class 1."""

    classes = ("left", "right")

    def __call__(self, images: list[Image]) -> list[object]:
        return [np.tile(np.arange(im.shape[1]) * 2 >= im.shape[1], (im.shape[0], 1)).astype(int) for im in images]


class HalvesWithProbabilities(Halves):
    def probabilities(self, images: list[Image]) -> list[object]:
        return [np.array([[[0.9, 0.2]], [[0.1, 0.8]]]) for _ in images]


def test_a_users_class_may_answer_plain_arrays() -> None:
    segmenter = adopt(Halves(), "mine:build")
    answer = segmenter([photo(2, 4)])[0]
    assert isinstance(answer, SemanticMap)
    assert answer.ids.tolist() == [[0, 0, 1, 1]] * 2
    assert answer.names == ("left", "right")
    assert not isinstance(segmenter, ScoringSegmenter)


def test_a_users_probabilities_give_scores() -> None:
    segmenter = adopt(HalvesWithProbabilities(), "mine:build")
    assert isinstance(segmenter, ScoringSegmenter)
    scores = segmenter.scores([photo(2, 4)])[0]
    np.testing.assert_allclose(scores.probabilities()[:, 0], [[0.9, 0.2], [0.1, 0.8]], atol=1e-6)
    assert scores.semantic_map().ids.tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([np.zeros((2, 4), int)] * 2, "answered 2 maps for 1 images"),
        ([np.zeros((2, 3), int)], "resize it to the image"),
        ([np.zeros((2, 4))], "must answer SemanticMaps or"),
        ([np.full((2, 4), 2)], "class ids from 2 to 2, but has 2 classes"),
        ([np.full((2, 4), -1)], "class ids from -1 to -1"),
    ],
)
def test_a_users_wrong_answer_is_named(answer: list[object], sentence: str) -> None:
    class Wrong(Halves):
        def __call__(self, images: list[Image]) -> list[object]:
            return answer

    with pytest.raises(InputError, match=sentence) as caught:
        adopt(Wrong(), "mine:build")([photo(2, 4)])
    assert "mine:build" in str(caught.value)


def test_a_factory_is_found_by_module_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "my_own_segmenter.py"
    source.write_text(
        "class S:\n    classes = ['a']\n    def __call__(self, images): return []\ndef build(): return S()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_segmenter("my_own_segmenter:build", CPU, torch.float32).classes == ("a",)
    assert load_segmenter(f"{source}:build", CPU, torch.float32).classes == ("a",)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("no_such_module:build", "No module named 'no_such_module'; mend or install it, or name a file"),
        ("json:no_such_function", "has no function 'no_such_function'"),
        ("json:loads", "json:loads failed: TypeError"),
        ("/no/such/folder", "/no/such/folder does not exist"),
        ("nobody/no-such-model", "hf download nobody/no-such-model"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_do(model: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_segmenter(model, CPU, torch.float32)


def test_a_folder_that_is_no_segmenter(tmp_path: Path, parity: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_segmenter(str(tmp_path), CPU, torch.float32)
    with pytest.raises(InputError, match="is a BlipForConditionalGeneration; give a semantic or universal segmenter"):
        load_segmenter(str(parity / "models/blip"), CPU, torch.float32)
