from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.naming.phrases import NounPhrases


@pytest.fixture(scope="module")
def raw() -> NounPhrases:
    return NounPhrases("raw")


@pytest.fixture(scope="module")
def head() -> NounPhrases:
    return NounPhrases("head")


def test_raw_phrases_are_the_noun_chunks_as_they_come(raw: NounPhrases) -> None:
    assert raw(["there is a Red tree near a cat that is green"]) == [("a Red tree", "a cat", "that")]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("there is a red tree near a cat that is green", ("tree", "cat")),
        ("a man wearing sun glasses", ("man", "sun glasses")),
        ("the left side of a red fire hydrant", ("fire hydrant",)),
        ("two glasses of wine on the top of a table", ("glasses", "wine", "table")),
        ("wine glasses", ("wine glass",)),
        ("several buses parked on the side of the road", ("bus", "road")),
        ("a man's hat", ("hat",)),
        ("children playing with scissors", ("child", "scissors")),
        ("people's feet on the table top", ("foot", "table")),
        ("a stainless steel kitchen sink", ("steel kitchen sink",)),
        ("the white dogs and a black Dog in the background", ("dog",)),
        ("a close up of a cat", ("cat",)),
        ("an orange cat in front of a white house", ("cat", "house")),
        ("a slice of an orange", ("slice", "orange")),
        ("something on it", ()),
        ("running fast", ()),
        ("", ()),
    ],
)
def test_heads_name_the_thing(head: NounPhrases, caption: str, names: tuple[str, ...]) -> None:
    assert head([caption]) == [names]


@pytest.mark.parametrize(
    "caption", ["1. car", "- car", "* car", "• car", "car.", "(a) car", '"car"', "«car»", "「car」", "# car", "**car**"]
)
def test_bullets_numbers_and_quotes_are_no_names(head: NounPhrases, raw: NounPhrases, caption: str) -> None:
    assert head([caption]) == raw([caption]) == [("car",)]
    assert head([f"{caption}\n{caption.replace('car', 'tree')}"]) == [("car", "tree")]


def test_a_list_in_one_line(head: NounPhrases) -> None:
    assert head(["1. a red car 2. trees"]) == [("car", "tree")]
    assert head(["a 1.5 liter bottle"]) == [("liter bottle",)]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("the back of a red sofa", ("back", "sofa")),
        ("the leaves of a red vase", ("leaves", "vase")),
        ("the left side of a red fire hydrant", ("fire hydrant",)),
        ("a cat on the back of a sofa", ("cat", "sofa")),
        ("the top", ()),
    ],
)
def test_parts_are_named_where_names_are_weighed(caption: str, names: tuple[str, ...]) -> None:
    assert NounPhrases("parts")([caption]) == [names]


def test_each_distinct_caption_is_read_once(raw: NounPhrases, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    pipe = raw._nlp.pipe
    monkeypatch.setattr(raw._nlp, "pipe", lambda captions: (read.extend(captions), pipe(captions))[1])
    assert raw(["a pond", "a swan", "a pond"]) == [("a pond",), ("a swan",), ("a pond",)]
    assert raw(["a swan", "a duck"]) == [("a swan",), ("a duck",)]
    assert read == ["a pond", "a swan", "a duck"]


def test_a_missing_pipeline_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="python -m spacy download en_core_web_sm"):
        NounPhrases()


def test_a_memo_keeps_the_latest_texts_only() -> None:
    asked: list[Any] = []
    memo = Memo(lambda texts: (asked.append(texts), [len(text) for text in texts])[1], capacity=2)
    assert memo(["a", "bb", "a"]) == [1, 2, 1]
    assert memo(["a", "ccc"]) == [1, 3]  # "bb" goes, the longest unused
    assert memo(["ccc", "a", "bb"]) == [3, 1, 2]
    assert asked == [["a", "bb"], ["ccc"], ["bb"]]
    assert memo(["v", "w", "x", "y"]) == [1] * 4  # more at once than are kept
    assert len(memo) == 2
