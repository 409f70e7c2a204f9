"""Every family in every slot, through the doors that presets use: it runs as the slot's contract says, or is refused.

docs/slots.md is what comes out; `SSA_WRITE_DOCS=1 pytest tests/models/test_slots.py` writes it anew.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.architectures import check_models
from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.models.deciders import load_decider
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.models.segmenters import load_segmenter
from fiftyone_ssa.presets import Masks, OpenVocabulary, Preset, Semantic
from fiftyone_ssa.types import Image
from tests.models.slot_families import FAMILIES

CPU = torch.device("cpu")
DOCS = Path(__file__).parents[2] / "docs/slots.md"
ALL: dict[str, Any] = {"points_per_side": 2, "pred_iou_thresh": -1e6, "stability_score_thresh": 0.0}
ALL |= {"score_thresh": 0.01}
LOAD: dict[str, Callable[[str, torch.device], Any]] = {
    "masks": lambda model, device: load_mask_generator(Masks(model=model, **ALL), device, torch.float32),
    "segmenter": lambda model, device: load_segmenter(model, device, torch.float32),
    "segmenter with a vocabulary": lambda model, device: load_segmenter(
        model, device, torch.float32, vocabulary=("sky", "red car")
    ),
    "captioner": lambda model, device: load_captioner(model, device, torch.float32, max_new_tokens=3),
    "class filter": lambda model, device: load_class_filter(model, device, torch.float32),
    "decider": lambda model, device: load_decider(model, device, torch.float32),
}
RUNS = "runs"
REMEDY = re.compile(r"; (give|merge|wrap|unpack|get|leave|name)\b|must build an? .*[,;] got|: name them in ")


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


PHOTOS = [photo(50, 90), photo(90, 50, 1), photo(3, 40, 2)]
CROPS = [torch.from_numpy(image) for image in (*PHOTOS, photo(1, 1, 3))]


def keeps_masks(generator: Any, _: torch.device) -> None:
    found = [generator(image) for image in PHOTOS]
    for image, masks in zip(PHOTOS, found, strict=True):
        assert masks.size_hw == image.shape[:2]
        assert generator(image).rles == masks.rles
        assert masks.areas_px.all()
    assert found[0].boxes_xywh.shape == (len(found[0]), 4)


def keeps_maps(segmenter: Any, _: torch.device) -> None:
    assert len(segmenter.classes) > 1
    maps = segmenter(PHOTOS)
    for image, answer in zip(PHOTOS, maps, strict=True):
        assert (answer.size_hw, answer.names) == (image.shape[:2], tuple(segmenter.classes))
        np.testing.assert_array_equal(segmenter([image])[0].ids, answer.ids)


def keeps_captions(captioner: Any, device: torch.device) -> None:
    crops = [crop.to(device) for crop in CROPS]
    answers, again = captioner([crops, crops[::-1]])
    assert again == answers[::-1]
    assert [captioner([[crop]])[0][0] for crop in crops] == answers
    kinds = (tuple,) if captioner.only_names else (str, tuple)
    assert all(isinstance(answer, kinds) for answer in answers)
    assert captioner([[]]) == [[]]


def keeps_embeddings(class_filter: Any, device: torch.device) -> None:
    crops = [crop.to(device) for crop in CROPS]
    (looks,) = class_filter.images([crops])
    texts = class_filter.texts(["sky", "a tree"])
    for rows, count in ((looks, len(CROPS)), (texts, 2)):
        assert rows.dtype == np.float32
        assert rows.shape == (count, looks.shape[1])
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(class_filter.images([crops[1:2]])[0][0], looks[1], atol=1e-5)
    assert class_filter.logit_scale > 0


def keeps_scores(decider: Any, device: torch.device) -> None:
    image = CROPS[0].to(device)
    mask = np.zeros((50, 90), bool)
    mask[10:30, 20:70] = True
    box = (20, 10, 70, 30)
    asked = [
        Question(image, (0, 0, 90, 50), box, encode(mask), (50, 90), names, image)
        for names in (("sky", "tree", "red car"), ("dog",), ("road", "sky"))
    ]
    (answers,) = decider([asked])
    for question, answer in zip(asked, answers, strict=True):
        assert answer.shape[0] == len(question.names)
        assert np.isfinite(answer).all()
        assert (answer >= 0).all()
        np.testing.assert_allclose(decider([[question]])[0][0], answer, atol=1e-6)


CONTRACT: dict[str, Callable[[Any, torch.device], None]] = {
    "masks": keeps_masks,
    "segmenter": keeps_maps,
    "segmenter with a vocabulary": keeps_maps,
    "captioner": keeps_captions,
    "class filter": keeps_embeddings,
    "decider": keeps_scores,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> dict[str, str]:
    """What is named, by family."""
    built = enumerate(FAMILIES.items())
    return {
        family: str(build(tmp_path_factory.mktemp("slot") / str(index), parity / "models"))
        for index, (family, build) in built
    }


@pytest.fixture(scope="module")
def answers(paths: dict[str, str]) -> dict[str, dict[str, str]]:
    """By family and slot, `RUNS` or the sentence with which it was refused."""
    words = {slot: slot.removesuffix(" with a vocabulary").replace(" ", "_") for slot in LOAD}
    return {
        family: {slot: answer(slot, path.format(slot=word)) for slot, word in words.items()}
        for family, path in paths.items()
    }


def without_what_differs(sentence: str) -> str:
    """A sentence with a word in capitals for the slot, the model's kind, the version and the configuration's name."""
    sentence = re.sub(r"^cannot load [^:]+:", "cannot load SLOT:", sentence)
    sentence = re.sub(r"MODEL is an? ([A-Z]\w+|'[^']+' model);", "MODEL is a KIND;", sentence)
    return re.sub(r"\b(open_clip_)?config\.json", "CONFIG", sentence.replace(hf.__version__, "VERSION"))


def answer(slot: str, model: str) -> str:
    try:
        loaded = LOAD[slot](model, CPU)
    except InputError as error:
        return without_what_differs(str(error).replace(model, "MODEL"))
    CONTRACT[slot](loaded, CPU)
    return RUNS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_runs_or_is_refused_in_one_sentence(family: str, answers: dict[str, dict[str, str]]) -> None:
    for slot, sentence in answers[family].items():
        if sentence != RUNS:
            assert "\n" not in sentence, slot
            assert "MODEL" in sentence, (slot, sentence)
            assert "garbage" not in sentence, (slot, sentence)  # no weights were read
            assert REMEDY.search(sentence), (slot, sentence)


def test_what_an_architecture_tells_is_what_loading_finds(
    answers: dict[str, dict[str, str]], paths: dict[str, str]
) -> None:
    """No model that runs is refused by its configuration alone; five of six of another kind are."""
    kinds = []
    for family, slots in answers.items():
        for slot, sentence in slots.items():
            found = problem_of(slot, paths[family])
            assert not found or sentence != RUNS, found
            kinds += [bool(found)] if "is a KIND" in sentence else []
    assert sum(kinds) > 0.8 * len(kinds) > 80


def problem_of(slot: str, model: str) -> str:
    """What is said of a model in a slot, by its configuration alone."""
    named = {"source": "model", "model": model} if slot.startswith("segmenter") else {"source": "field"}
    masks = {"source": "sam", "model": model} if slot == "masks" else {"source": "existing"}
    engine = {} if slot.startswith(("masks", "segmenter")) else {slot.replace(" ", "_"): model}
    pipeline: Any = "engine" if engine else "ssa"
    try:
        check_models(Preset("x", pipeline, Masks(**masks), Semantic(**named), OpenVocabulary(**engine)))
    except InputError as error:
        return str(error)
    return ""


def test_every_kind_that_transformers_knows_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """One in fifteen of them, configurations alone; all 450 were tried once, with each of their architectures."""
    kinds = sorted(CONFIG_MAPPING_NAMES)[::15]
    assert len(kinds) > 25
    for kind in kinds:
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        for slot, load in LOAD.items():
            with pytest.raises(InputError) as caught:
                load(str(folder), CPU)
            assert "\n" not in str(caught.value), (slot, kind)
            assert "cannot load" in str(caught.value), (slot, kind)


def test_the_table_in_the_docs_is_what_comes_out(answers: dict[str, dict[str, str]]) -> None:
    pytest.importorskip("num2words", reason="SmolVLM2's row needs it")
    written = written_table(answers)
    if os.environ.get("SSA_WRITE_DOCS"):
        head = DOCS.read_text().partition("<!-- table -->")[0] if DOCS.exists() else ""
        DOCS.write_text(f"{head}<!-- table -->\n\n{written}")
    assert written in DOCS.read_text(), "SSA_WRITE_DOCS=1 writes it anew"


def written_table(answers: dict[str, dict[str, str]]) -> str:
    """Families by slots; a letter stands for a sentence, and the sentences stand below."""
    sentences = list(dict.fromkeys(said for row in answers.values() for said in row.values() if said != RUNS))
    letters = string.ascii_lowercase
    letter = dict(zip(sentences, [*letters, *(a + b for a in "abc" for b in letters)], strict=False))
    rows = [f"| | {' | '.join(LOAD)} |", "|---" * (len(LOAD) + 1) + "|"]
    rows += [
        f"| {family} | {' | '.join(f'**{RUNS}**' if said == RUNS else letter[said] for said in row.values())} |"
        for family, row in answers.items()
    ]
    return "\n".join([*rows, "", *(f"- {letter[said]}: {said}" for said in sentences)]) + "\n"
