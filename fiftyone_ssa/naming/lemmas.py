"""Singulars of nouns by spaCy's lemmatizer: it knows more irregular ones than rules do."""

from __future__ import annotations

from collections.abc import Sequence

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.naming.phrases import find_model


def has_lemmas() -> bool:
    """Whether spaCy and its English pipeline are installed."""
    try:
        find_model()
    except MissingDependencyError:
        return False
    return True


class NounLemmas:
    """The last word of each name in its singular; the rest stays, and so does what is no plural.

    Raises MissingDependencyError if spaCy or its English pipeline is not installed.
    """

    def __init__(self) -> None:
        model = find_model()
        import spacy

        self._nlp = spacy.load(model, exclude=["ner", "parser"])

    def __call__(self, names: Sequence[str]) -> list[str]:
        """A name for each of the names."""
        # an article says that what follows is a noun
        return [_singular(name, doc[-1]) for name, doc in zip(names, self._nlp.pipe(_in_place(names)), strict=True)]


def _in_place(names: Sequence[str]) -> list[str]:
    return [f"the {name}" for name in names]


def _singular(name: str, last: object) -> str:
    text, tag, lemma = (str(getattr(last, key)) for key in ("text", "tag_", "lemma_"))
    return name[: -len(text)] + lemma if tag == "NNS" and name.endswith(text) and lemma else name
