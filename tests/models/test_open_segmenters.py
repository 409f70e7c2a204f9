"""Segmenters that are asked for names: one contract, their own networks' answers, and sentences."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.open_segmenters import OpenSegmenter
from fiftyone_ssa.models.segmenters import ScoringSegmenter, load_segmenter
from fiftyone_ssa.naming.engine import build_engine
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.types import Image, Inputs
from tests.models import tiny_concepts, tiny_groupvit
from tests.models.tiny_segmenters import save

CPU = torch.device("cpu")
FAMILIES = ("clipseg", "groupvit", "sam3")
NAMES = ("a cat", "sky", "the red car", "grass", "house")


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Callable[[str], Path]:
    models = parity / "models"
    made = {"clipseg": models / "clipseg"}

    def get(family: str) -> Path:
        if family not in made:
            build = tiny_groupvit.save if family == "groupvit" else tiny_concepts.save
            made[family] = build(tmp_path_factory.mktemp(family), models)
        return made[family]

    return get


def load(folder: Path, names: tuple[str, ...] = NAMES, background: float = 0.0) -> OpenSegmenter:
    found = load_segmenter(str(folder), CPU, torch.float32, vocabulary=names, background=background)
    assert isinstance(found, OpenSegmenter)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_the_contract(family: str, folder: Callable[[str], Path]) -> None:
    segmenter = load(folder(family))
    assert isinstance(segmenter, ScoringSegmenter)
    assert segmenter.classes == NAMES
    images = [photo(50, 90), photo(90, 50, 1), photo(1, 40), photo(3, 3)]
    maps = segmenter(images)
    assert [answer.size_hw for answer in maps] == [image.shape[:2] for image in images]
    for image, answer in zip(images, maps, strict=True):
        assert answer.names == NAMES
        np.testing.assert_array_equal(segmenter([image])[0].ids, answer.ids)
    [scores] = segmenter.scores(images[:1])
    shares = scores.probabilities()
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    # what sets two names apart does not depend on the names beside them
    [alone] = load(folder(family), NAMES[1:3]).scores(images[:1])
    apart = scores.values[1] - scores.values[2]
    torch.testing.assert_close(alone.values[0] - alone.values[1], apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_networks_own(family: str, folder: Callable[[str], Path]) -> None:
    """As its whole forward pass gives them, with all names and nothing shared."""
    image = photo(64, 64, seed=2)
    values = load(folder(family)).scores([image])[0].values
    processor = hf.AutoImageProcessor.from_pretrained(folder(family), backend="torchvision")
    pixels = processor([torch.from_numpy(image).permute(2, 0, 1)], return_tensors="pt")["pixel_values"]
    tokenizer = hf.AutoTokenizer.from_pretrained(folder(family))
    text = dict(tokenizer(list(NAMES), padding="max_length", max_length=32, return_tensors="pt"))
    repeated = pixels.expand(len(NAMES), -1, -1, -1)
    with torch.inference_mode():
        if family == "clipseg":
            network = hf.CLIPSegForImageSegmentation.from_pretrained(folder(family)).eval()
            expected = network(pixel_values=repeated, **text).logits
        elif family == "groupvit":
            whole = hf.GroupViTModel.from_pretrained(folder(family)).eval()
            found = whole(pixel_values=pixels, output_segmentation=True, **text).segmentation_logits[0]
            expected = (found / whole.logit_scale.exp()).log_softmax(0)  # it multiplies by that twice
        else:
            concepts = hf.Sam3Model.from_pretrained(folder(family)).eval()
            found = concepts(pixel_values=repeated, **text)
            scores = found.pred_logits.sigmoid() * found.presence_logits.sigmoid()
            expected = (found.pred_masks.sigmoid() * scores[..., None, None]).amax(1).clamp(1e-6, 1 - 1e-6).logit()
    torch.testing.assert_close(values, expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_background_is_where_no_name_is_sure(family: str, folder: Callable[[str], Path]) -> None:
    image = photo(60, 80)
    named = load(folder(family))
    shares = named.scores([image])[0].values
    shares = shares.exp() if family == "groupvit" else shares.sigmoid()
    best = shares.amax(0)
    for level in (float(best.min()) * 0.99, float(best.quantile(0.5)), float(best.max()) * 1.01):
        segmenter = load(folder(family), NAMES, level)
        assert segmenter.classes == (*NAMES, "background")
        nowhere = segmenter.scores([image])[0].values.argmax(0) == len(NAMES)
        assert (nowhere == (best < level)).float().mean() > 0.9
    assert nowhere.all()
    assert (segmenter([image])[0].ids == len(NAMES)).all()
    assert load(folder(family), ("sky", "Background"), 0.5).classes == ("sky", "background")


def test_many_names_take_a_coarser_grid(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(64, 64)
    fine = load(folder("clipseg")).scores([image])[0].values
    monkeypatch.setattr("fiftyone_ssa.models.open_segmenters.GRID_BYTES", fine.numel())
    coarse = load(folder("clipseg")).scores([image])[0].values
    assert coarse.shape == (len(NAMES), fine.shape[1] // 2, fine.shape[2] // 2)
    torch.testing.assert_close(coarse, torch.nn.functional.avg_pool2d(fine, 2), atol=1e-4, rtol=1e-4)


def test_names_are_embedded_once_a_run(folder: Callable[[str], Path]) -> None:
    segmenter = load(folder("clipseg"))
    asked: list[str] = []
    texts = segmenter._finder._texts  # type: ignore[attr-defined]
    compute = texts._known._compute
    texts._known._compute = lambda names: (asked.extend(names), compute(names))[1]
    segmenter([photo(30, 40), photo(40, 30)])
    assert asked == list(NAMES)


def test_a_vocabulary_is_asked_for_or_refused(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"knows no classes of its own: name them in semantic\.vocabulary"):
        load(folder("groupvit"), ())
    closed = str(save("segformer", tmp_path / "closed"))
    with pytest.raises(InputError, match=r"has classes of its own; leave semantic\.vocabulary out"):
        load_segmenter(closed, CPU, torch.float32, vocabulary=NAMES)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/config.json").write_text(json.dumps({"model_type": "clipseg", "architectures": ["CLIPSegModel"]}))
    with pytest.raises(InputError, match="is a CLIPSegModel; give a CLIPSeg"):
        load(tmp_path / "bare")


@pytest.mark.parametrize("family", ["groupvit", "sam3"])
def test_a_processor_of_another_size_is_told_at_load(
    family: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    damaged = shutil.copytree(folder(family), tmp_path / family)
    file = damaged / "preprocessor_config.json"
    size = {"height": 48, "width": 48}
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": size, "crop_size": size}))
    with pytest.raises(InputError, match=r"cannot load an open-vocabulary segmenter .*: check the folder"):
        load(damaged)


@pytest.mark.parametrize("vote", ["hard", "auto"])
def test_a_preset_names_it(vote: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    """With names in the preset, as a list, or in a file, which count by what they are."""
    (tmp_path / "names.txt").write_text("sky\ngrass\n")
    own = {"semantic.model": str(folder("clipseg")), "semantic.vote": vote}
    listed = load_preset("mini-ssa", {**own, "semantic.vocabulary": ["sky", "grass"]})
    assert listed.semantic.vocabulary == "sky\ngrass\n"
    in_file = load_preset("mini-ssa", {**own, "semantic.vocabulary": str(tmp_path / "names.txt")})
    found = [build_pipeline(preset, device="cpu")([Inputs(photo(60, 80))])[0] for preset in (listed, in_file)]
    assert found[0].labels == found[1].labels
    assert set(found[0].labels) <= {"sky", "grass", None}
    assert found[0].semantic is not None
    assert found[0].semantic.names == ("sky", "grass")
    before = settings_stamp(in_file)
    (tmp_path / "names.txt").write_text("sky\nroad\n")
    assert settings_stamp(in_file).differences(before.values) == ["semantic.vocabulary"]


def test_the_engine_asks_it_for_its_own_vocabulary(folder: Callable[[str], Path]) -> None:
    own = {"open_vocabulary.segmenters": [str(folder("clipseg"))], "open_vocabulary.captioner": ""}
    preset = load_preset("mini-engine", {**own, "open_vocabulary.vocabulary": "sky\ngrass\n"})
    engine = build_engine(preset, CPU, torch.float32)
    assert [tuple(segmenter.classes) for _, segmenter in engine.segmenters] == [("sky", "grass")]
    without = load_preset("mini-engine", {**own, "open_vocabulary.vocabulary": ""})
    with pytest.raises(InputError, match=r"of an engine preset in open_vocabulary\.vocabulary"):
        build_engine(without, CPU, torch.float32)
