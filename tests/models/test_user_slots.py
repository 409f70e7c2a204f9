"""A user's captioner, class filter and decider: named as code, checked with one sentence, used by the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.models.deciders import load_decider
from fiftyone_ssa.models.factories import foreign_code
from fiftyone_ssa.models.user_masks import UserMaskGenerator
from fiftyone_ssa.models.user_segmenter import UserScoringSegmenter
from fiftyone_ssa.models.user_slots import UserCaptioner, UserClassFilter, UserDecider
from fiftyone_ssa.naming.engine import build_engine
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.types import Inputs

CPU = torch.device("cpu")
OWN = """
import numpy as np

COLOURS = {"a red thing": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


class Captioner:
    def __call__(self, crops):
        return [["red", "green", "red"] if crop.mean() > 50 else " a blue thing " for crop in crops]


class Filter:
    logit_scale, logit_bias = 10, -5

    def images(self, crops):
        return np.array([crop.reshape(-1, 3).mean(0) for crop in crops])

    def texts(self, names):
        return [COLOURS[name] for name in names]


class Decider:
    def __call__(self, crops, masks, names):
        assert all(crop.shape[:2] == mask.shape for crop, mask in zip(crops, masks))
        return [[float(mask.sum() * ("green" in name)) for name in row] for mask, row in zip(masks, names)]


def captioner(): return Captioner()
def class_filter(): return Filter()
def decider(): return Decider()
"""
LOAD: dict[str, Callable[[str], Any]] = {
    "captioner": lambda spec: load_captioner(spec, CPU, torch.float32),
    "class_filter": lambda spec: load_class_filter(spec, CPU, torch.float32),
    "decider": lambda spec: load_decider(spec, CPU, torch.float32),
}
SETTINGS = {f"open_vocabulary.{slot}": f"own:{slot}" for slot in LOAD} | {
    "open_vocabulary.segmenters": [],
    "open_vocabulary.decision": "published",
    "masks.source": "existing",
}
CROP = torch.full((4, 6, 3), 100, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def question(names: tuple[str, ...]) -> Question:
    mask = np.zeros((8, 8), bool)
    mask[2:5, 1:6] = True
    image = torch.zeros((8, 8, 3), dtype=torch.uint8)
    return Question(image[1:6, 0:7], (0, 1, 7, 6), (1, 2, 6, 5), encode(mask), (8, 8), names, image)


def test_answers_are_taken_as_they_are() -> None:
    captioner, class_filter, decider = (load(f"own:{slot}") for slot, load in LOAD.items())
    assert captioner([[CROP, CROP * 0], []]) == [[("red", "green"), "a blue thing"], []]
    (looks,) = class_filter.images([[CROP]])
    np.testing.assert_allclose(looks, np.full((1, 3), 3**-0.5), rtol=1e-6)
    assert class_filter.texts(["green", "blue"]).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert (class_filter.logit_scale, class_filter.logit_bias) == (10, -5)
    assert len(class_filter.texts([])) == len(class_filter.images([[]])[0]) == 0
    assert [list(row) for row in decider([[question(("a", "green")), question(("a",))]])[0]] == [[0, 15], [1]]


def test_tensors_of_a_network_are_numbers(here: Path) -> None:
    (here / "torches.py").write_text(
        "import torch\n"
        "class Filter:\n"
        "    images = texts = lambda self, of: torch.ones(len(of), 3, dtype=torch.bfloat16, requires_grad=True) * 2\n"
        "def decider():\n"
        "    return lambda crops, masks, names: [torch.ones(len(of), requires_grad=True) for of in names]\n"
    )
    class_filter = LOAD["class_filter"]("torches:Filter")
    np.testing.assert_allclose(class_filter.texts(["a", "b"]), np.full((2, 3), 3**-0.5), rtol=1e-6)
    assert [list(row) for row in LOAD["decider"]("torches:decider")([[question(("a", "green"))]])[0]] == [[1, 1]]


def test_a_decider_may_tell_inside_and_outside(here: Path) -> None:
    (here / "own.py").write_text(OWN.replace("in name)) for", "in name)), 1] for").replace("[[float(", "[[[float("))
    assert LOAD["decider"]("own:decider")([[question(("a", "green"))]])[0][0].tolist() == [[0, 1], [15, 1]]


def test_an_engine_of_the_users_own(here: Path) -> None:
    preset = load_preset("mini-engine", {**SETTINGS, "open_vocabulary.vocabulary": "a red thing\ngreen\n"})
    (here / "own.py").write_text(OWN.replace('["red", "green", "red"]', '["blue"]'))
    assert foreign_code(preset) == [str(here / "own.py")]
    mask = np.ones((8, 8), bool)
    image = np.full((8, 8, 3), (30, 90, 60), np.uint8)
    (annotation,) = build_engine(preset, CPU, torch.float32)([Inputs(image, mask_set((8, 8), [encode(mask)]))])
    assert annotation.labels == ("green",)
    assert 0 < annotation.confidences[0] < 1  # the decider is sure, and the filter knows other names that fit
    assert annotation.captions == ("blue",)
    assert annotation.proposals[0].names == ("green", "blue", "a red thing")
    cosine = np.array([90, 60, 30]) / np.linalg.norm([90, 60, 30])
    np.testing.assert_allclose(annotation.proposals[0].scores, 1 / (1 + np.exp(5 - 10 * cosine)), rtol=1e-5)


def test_each_counts_by_its_file(here: Path) -> None:
    before = settings_stamp(load_preset("mini-engine", SETTINGS))
    (here / "own.py").write_text(OWN + "# more")
    after = settings_stamp(load_preset("mini-engine", SETTINGS))
    assert after.differences(before.values) == [f"open_vocabulary.{slot}" for slot in LOAD]
    assert before.known


def test_a_tag_of_open_clip_is_no_code() -> None:
    preset = load_preset("mini-engine", {"open_vocabulary.class_filter": "RN50:openai"})
    assert foreign_code(preset) == []
    stamp = settings_stamp(preset)
    assert (stamp.values["open_vocabulary.class_filter"], stamp.known) == ("RN50:openai@tag", True)
    with pytest.raises(InputError, match="knows no model 'nothing'"):
        LOAD["class_filter"]("nothing:here")


@pytest.mark.parametrize(
    ("slot", "source", "sentence"),
    [
        (
            "captioner",
            "def captioner(): return 3",
            r"own:captioner must build a captioner, .*`__call__\(crops\)`; got",
        ),
        ("captioner", "class captioner: ...", "must build a captioner.*got a captioner"),
        ("captioner", "def captioner(): return lambda crops: 'a'", r"a list of captions.*one a crop, got a str"),
        ("captioner", "def captioner(): return lambda crops: []", r"answered 0 captions .* for 1 crops; one each"),
        (
            "captioner",
            "def captioner(): return lambda crops: [3]",
            r"a string or a list of strings for a crop",
        ),
        ("captioner", "def captioner(): exit(3)", "own:captioner failed: sys.exit: 3; it must build a captioner when"),
        ("class_filter", "def class_filter(): return len", r"`images\(crops\)` and `texts\(names\)`; got a builtin"),
        (
            "class_filter",
            OWN.replace(".mean(0)", ".mean()"),
            r"class_filter.images must answer \(1, d\) finite",
        ),
        (
            "class_filter",
            OWN.replace("= 10, -5", "= 'ten', 0"),
            "class_filter.logit_scale must be a number from -1,000,000 to 1,000,000, got 'ten'",
        ),
        (
            "class_filter",
            OWN.replace("-5\n", "float('nan')\n"),
            "class_filter.logit_bias must be a number from -1,000,000 to 1,000,000, got nan",
        ),
        ("class_filter", OWN.replace("= 10, -5", "= 1e308, 0"), "class_filter.logit_scale must be a number from .*1e"),
        ("class_filter", OWN.replace("(1, 0, 0)", "(1, 0)"), "answered embeddings of 2 numbers, others have 3"),
        ("decider", "def decider(): return None", r"must build a decider, .*masks, names\)`; got a NoneType"),
        ("decider", OWN.replace("for name in row]", "for name in row][1:]"), r"must answer 2 scores for 2 names, or"),
        ("decider", OWN.replace('("green" in name)', "-1"), "must answer finite non-negative scores"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(here: Path, slot: str, source: str, sentence: str) -> None:
    (here / "own.py").write_text(source)
    with pytest.raises(InputError, match=sentence) as caught:
        ask(slot, LOAD[slot](f"own:{slot}"))
    assert "\n" not in str(caught.value)


def ask(slot: str, built: Any) -> None:
    if slot == "captioner":
        built([[CROP]])
    elif slot == "decider":
        built([[question(("a", "b"))]])
    else:
        built.images([[CROP]])
        built.texts(["a red thing"])


class Draws:
    """One of every slot that blackens what it is given before it answers."""

    classes = ("sky", "road")

    def __call__(self, crops: Any, masks: Any = None, names: Any = None) -> Any:
        single = isinstance(crops, np.ndarray)
        for crop in [crops] if single else crops:
            crop[:] = 0
        if single:
            return np.ones((1, *crops.shape[:2]), bool)
        return ["a thing"] * len(crops) if names is None else [[1.0] * len(row) for row in names]

    def images(self, crops: Any) -> Any:
        self(crops)
        return np.ones((len(crops), 2))

    def texts(self, names: Any) -> Any:
        return np.ones((len(names), 2))

    def probabilities(self, images: Any) -> Any:
        self(images)
        return np.ones((len(images), 2, 3, 3))


def test_what_users_draw_on_is_a_copy() -> None:
    """Crops of an image share its pixels: a decider that blackens what is around a mask would blind all that follow."""
    image = np.full((8, 9, 3), 7, np.uint8)
    crop = torch.from_numpy(image)[2:6, 1:8]
    question = Question(crop, (1, 2, 8, 6), (1, 2, 8, 6), encode(image[..., 0] > 0), (8, 9), ("a", "b"), crop)
    UserCaptioner(Draws(), "mine")([[crop]])
    UserClassFilter(Draws(), "mine", "{}").images([[crop]])
    UserDecider(Draws(), "mine")([[question]])
    UserMaskGenerator(Draws(), "mine")(image)
    UserScoringSegmenter(Draws(), "mine").scores([image])
    assert (image == 7).all()
