"""Every segmenter passes one contract; Hugging Face's answer as its own processors give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import SegformerForSemanticSegmentation

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import Segmenter
from fiftyone_ssa.models.segmenters import HuggingFaceSegmenter, ScoringSegmenter, adopt, load_segmenter
from fiftyone_ssa.types import Image, SemanticMap
from tests.models.hub_folders import HubFolders
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
        if family.startswith("eomt"):
            outputs.patch_offsets = offsets
        if family == "segformer":  # published: align_corners=True, which its processor does not offer
            expected = torch.nn.functional.interpolate(outputs.logits, size_hw, mode="bilinear", align_corners=True)
            expected = expected[0].argmax(0)
        else:
            expected = segmenter.processor.post_process_semantic_segmentation(outputs, target_sizes=[size_hw])[0]
    assert (segmenter([image])[0].ids == expected.numpy()).mean() > 0.999


def test_segformer_is_in_float16_where_bfloat16_is_asked_for(parity: Path) -> None:
    folder, image = str(parity / "models" / "segformer-ade20k"), photo(97, 61)
    half, whole = (load_segmenter(folder, CPU, number) for number in (torch.bfloat16, torch.float32))
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float16}  # type: ignore[attr-defined]
    assert np.mean(half([image])[0].ids == whole([image])[0].ids) > 0.95  # of noise


def test_what_overflows_float16_is_answered_in_float32(parity: Path, tmp_path: Path) -> None:
    network = SegformerForSemanticSegmentation.from_pretrained(parity / "models" / "segformer-ade20k")
    network.decode_head.classifier.weight.data *= 1e6
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes(
        (parity / "models" / "segformer-ade20k" / "preprocessor_config.json").read_bytes()
    )
    half, whole = (load_segmenter(str(tmp_path), CPU, number) for number in (torch.bfloat16, torch.float32))
    image = photo(97, 61)
    assert np.array_equal(half([image])[0].ids, whole([image])[0].ids)


@pytest.mark.parametrize("family", ["oneformer", "mask2former"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_only_the_backbone_is_in_half(family: str, dtype: torch.dtype, folder: Callable[[str], Path]) -> None:
    """Reference points in bfloat16 miss by pixels, and token ids by whole words."""
    whole, half = (load_segmenter(str(folder(family)), CPU, number) for number in (torch.float32, dtype))
    assert isinstance(half, HuggingFaceSegmenter)
    backbone = half.model.model.pixel_level_module.encoder
    assert {weight.dtype for weight in backbone.parameters()} == {dtype}
    others = set(half.model.parameters()) - set(backbone.parameters())
    assert {weight.dtype for weight in others} <= {torch.float32, torch.float64}
    image = photo(97, 61)
    scores, expected = (part.scores([image])[0].values for part in (half, whole))
    assert torch.isfinite(scores).all()
    # Mask2Former's next layer looks only where a mask is above 0, and a random one lies near it (torch 2.9: .8)
    assert ((scores - expected).abs() < 0.02 * expected.abs().max()).float().mean() > 0.75
    # with the backbone's answer given, the rest answers as float32 does, to the last bit
    given = [part.model.model.pixel_level_module.encoder for part in (half, whole)]
    kept: list[Any] = []
    hook = given[1].register_forward_hook(lambda _, __, found: kept.append(found.feature_maps))
    whole.scores([image])
    hook.remove()
    features = kept[0]
    for encoder in given:
        encoder.register_forward_hook(lambda _, __, found: (setattr(found, "feature_maps", features), found)[1])
    scores, expected = (part.scores([image])[0].values for part in (half, whole))
    torch.testing.assert_close(scores, expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", ["mobilevit", "mobilenet_v2"])
def test_a_centre_crop_is_left_out(family: str, folder: Callable[[str], Path]) -> None:
    """What lies at the rim of the image reaches the map."""
    segmenter = load_segmenter(str(folder(family)), CPU, torch.float32)
    image = photo(60, 120)
    other = image.copy()
    other[:, :20] = 255 - other[:, :20]
    scores = [part.values for part in segmenter.scores([image, other])]
    left = scores[0].shape[2] // 12
    assert (scores[0] - scores[1])[:, :, : left + 1].abs().max() > 0
    assert scores[0].shape[2] > scores[0].shape[1]  # in the image's proportions


def test_names_and_pixels_are_the_published_forms_too(
    tmp_path: Path, parity: Path, folder: Callable[[str], Path]
) -> None:
    """A OneFormer as the hub has it, without its class file, answers as the reference folder does."""
    published = load_segmenter(str(HubFolders(tmp_path, parity / "models").oneformer_coco()), CPU, torch.float32)
    reference = load_segmenter(str(folder("oneformer")), CPU, torch.float32)
    assert published.classes == reference.classes
    assert isinstance(published, HuggingFaceSegmenter)
    assert isinstance(reference, HuggingFaceSegmenter)
    published.processor.image_processor.size = reference.processor.image_processor.size
    image = photo(50, 70)
    # the two files' weights lie otherwise in memory, by which some processors' products round otherwise
    scores, expected = (one.scores([image])[0].values for one in (published, reference))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "size", "message"),
    [
        ("eomt", {"shortest_edge": 32}, "images of 32 x 32 pixels, but its network takes 64 x 64; get"),
        ("eomt_dinov3", {"shortest_edge": 128}, "images of 128 x 128 pixels, but its network takes 64 x 64; get"),
        ("data2vec", {"height": 64, "width": 128}, "images of 64 x 128 pixels, but its network takes 64 x 64; get"),
        ("dpt", {"height": 64, "width": 128}, "images of 64 x 128 pixels, but its network takes squares; get"),
        ("mask2former", {"shortest_edge": 64}, "check the folder, its files may be damaged"),
    ],
)
def test_a_processor_that_does_not_fit_is_told_at_load(
    family: str, size: dict[str, int], message: str, tmp_path: Path
) -> None:
    made = save(family, tmp_path)
    (made / "model.safetensors").write_bytes(b"garbage")  # before weights are read
    written = json.loads((made / "preprocessor_config.json").read_text())
    (made / "preprocessor_config.json").write_text(json.dumps({**written, "size": size, "crop_size": size}))
    with pytest.raises(InputError, match=message):
        load_segmenter(str(made), CPU, torch.float32)


@pytest.mark.parametrize("family", ["segformer", "upernet", "beit", "mask2former"])
def test_images_that_are_too_small_for_a_network_are_told_at_load(family: str, tmp_path: Path) -> None:
    made = save(family, tmp_path)
    written = json.loads((made / "preprocessor_config.json").read_text())
    small = dict.fromkeys(written["size"], 7)
    (made / "preprocessor_config.json").write_text(json.dumps({**written, "size": small, "crop_size": small}))
    with pytest.raises(
        InputError, match=r"images of \d+ x \d+ pixels, but its network cannot do with so few \("
    ) as told:
        load_segmenter(str(made), CPU, torch.float32)
    assert "\n" not in str(told.value)


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
        (None, "must answer a list of maps, one an image, got a NoneType"),
        ({0: np.zeros((2, 4), int)}, "got a dict"),
        ([[[0, 1], [0]]], "must answer SemanticMaps or .* got a list"),
        ([{"map": 1}], r"must answer SemanticMaps or .* got \(\) object"),
        ([torch.zeros((2, 4))], r"got \(2, 4\) float32"),
        ([np.zeros((2, 3), int)], "resize it to the image"),
        ([np.zeros((2, 4))], "must answer SemanticMaps or"),
        ([np.full((2, 4), 2)], "class ids from 2 to 2, but has 2 classes"),
        ([np.full((2, 4), -1)], "class ids from -1 to -1"),
    ],
)
def test_a_users_wrong_answer_is_named(answer: Any, sentence: str) -> None:
    class Wrong(Halves):
        def __call__(self, images: list[Image]) -> Any:
            return answer

    with pytest.raises(InputError, match=sentence) as caught:
        adopt(Wrong(), "mine:build")([photo(2, 4)])
    assert "mine:build" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([np.zeros((3, 1, 2))], r"must give \(2, h, w\) numbers, got \(3, 1, 2\)"),
        ([np.zeros((2, 0, 2))], r"got \(2, 0, 2\)"),
        ([[["a", "b"]]], "must give"),
        ([None], "must give"),
        (None, "must answer a list of arrays of probabilities"),
        ([np.full((2, 1, 1), np.nan)], "finite non-negative"),
        ([np.full((2, 1, 1), -0.1)], "finite non-negative"),
    ],
)
def test_a_users_wrong_probabilities_are_named(answer: Any, sentence: str) -> None:
    class Wrong(Halves):
        classes: ClassVar[dict[int, str]] = {0: "left", 1: "right"}

        def probabilities(self, images: list[Image]) -> Any:
            return answer

    segmenter = adopt(Wrong(), "mine:build")
    assert isinstance(segmenter, ScoringSegmenter)
    with pytest.raises(InputError, match=sentence) as caught:
        segmenter.scores([photo(2, 4)])
    assert "mine:build" in str(caught.value)


def test_a_users_tensors_and_generators_are_read() -> None:
    class Torch(Halves):
        def __call__(self, images: list[Image]) -> Any:
            return (torch.ones(image.shape[:2], dtype=torch.int64) for image in images)

        def probabilities(self, images: list[Image]) -> Any:
            return torch.full((len(images), 2, 3, 3), 0.5, requires_grad=True)

    segmenter = adopt(Torch(), "mine:build")
    assert isinstance(segmenter, ScoringSegmenter)
    assert [answer.ids.all() for answer in segmenter([photo(2, 4), photo(3, 1)])] == [True, True]
    assert len(segmenter.scores([photo(2, 4), photo(3, 1)])) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "view",
    [
        lambda values: values[:, ::-1, ::-1],  # of a picture that was turned back
        lambda values: np.broadcast_to(values[:, :1, :1], values.shape),  # read-only
        lambda values: values.astype(">f8"),
    ],
)
def test_a_users_views_are_read(view: Callable[[Any], Any]) -> None:
    answer = view(np.array([[[0.9, 0.2], [0.3, 0.4]], [[0.1, 0.8], [0.7, 0.6]]], np.float32))

    class Views(Halves):
        def probabilities(self, images: list[Image]) -> Any:
            return [answer]

    segmenter = adopt(Views(), "mine:build")
    assert isinstance(segmenter, ScoringSegmenter)
    np.testing.assert_allclose(segmenter.scores([photo(2, 2)])[0].probabilities(), answer, atol=1e-6)


def test_a_users_sys_exit_is_one_images_failure() -> None:
    class Leaves(Halves):
        def __call__(self, images: list[Image]) -> Any:
            raise SystemExit(3)

    with pytest.raises(InputError, match=r"mine:build called sys\.exit\(3\) instead of answering"):
        adopt(Leaves(), "mine:build")([photo(2, 4)])


@pytest.mark.parametrize("thing", [object(), 3, None, lambda images: images, Halves])
def test_what_is_no_segmenter(thing: Any) -> None:
    with pytest.raises(
        InputError, match=r"mine:build must build an object with `classes` and `__call__\(images\)`, got"
    ):
        adopt(thing, "mine:build")


def test_attributes_that_raise_or_are_no_methods() -> None:
    class Raises(Halves):
        @property
        def classes(self) -> Any:  # type: ignore[override]
            raise OSError("no\nfile")

    class Attribute(Halves):
        probabilities = 3

    with pytest.raises(InputError, match="mine:build failed: OSError: no file"):
        adopt(Raises(), "mine:build")
    with pytest.raises(InputError, match="probabilities must be a method of images, got a int"):
        adopt(Attribute(), "mine:build")


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
    with pytest.raises(InputError, match="is an empty folder; give a model folder"):
        load_segmenter(str(tmp_path), CPU, torch.float32)
    with pytest.raises(InputError, match="is a BlipForConditionalGeneration; give a semantic or universal segmenter"):
        load_segmenter(str(parity / "models/blip"), CPU, torch.float32)
