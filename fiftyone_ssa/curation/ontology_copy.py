"""One mask under an ontology, and the masks of a sample copied into a field of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
from bson import ObjectId
from fiftyone.core.odm import create_field

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import Document
from fiftyone_ssa.labels.documents import CHECK_ATTRIBUTES
from fiftyone_ssa.labels.review import OPEN, digest_of, is_drawn, is_redrawn, state_of
from fiftyone_ssa.labels.stored_masks import stored_proposals
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_decide import Decided, decide_again
from fiftyone_ssa.masks.foreign import is_number

SAID, SAID_ID = "said_label", "said_id"
"""Attributes of a copied mask: what it was called, and the id of the mask that it is a copy of."""
_PIXELS = ("bounding_box", "mask", "mask_path")
LINKS = ("parent", "duplicate_of")
"""Attributes that name another mask of the image by its id."""


@dataclass(frozen=True)
class Classified:
    """A mask's class, and what else its attributes are to be."""

    label: str | None
    is_class: bool
    persons: bool
    """Whether a person named or reviewed it, so that it stays as it is."""
    decided: Decided | None = None


def is_persons(row: Mapping[str, Any], *, ours: bool) -> bool:
    """Whether a person reviewed, named, tagged or drew a mask; `ours`: SSA named masks of its field."""
    return bool(row.get("tags")) or state_of(row, ours=ours) != OPEN


def is_kept(row: Mapping[str, Any], original: Mapping[str, Any] | None) -> bool:
    """Whether a person touched or redrew a copied mask, or drew it; `original` is what it is a copy of, as that is now.

    Pixels are read only where they are not the original's any more.
    """
    if is_persons(row, ours=True) or is_drawn(row):
        return True
    if original is None:
        return is_redrawn(row)
    same = all(row.get(name) == original.get(name) for name in _PIXELS)
    return not same and (row.get("mask_digest") is None or is_redrawn(row))


def classified(row: Mapping[str, Any], ontology: Ontology, min_share: float, *, ours: bool) -> Classified:
    """What a stored mask is under an ontology."""
    if is_persons(row, ours=ours):
        return as_it_is(row, ontology)
    decided = decide_again(ontology, _label(row), *_proposals(row), min_share=min_share)
    return Classified(decided.label, decided.is_class, False, decided)


def as_it_is(row: Mapping[str, Any], ontology: Ontology) -> Classified:
    """What a mask is that a person touched."""
    label = _label(row)
    return Classified(label, label is not None and ontology.class_of(label) is not None, True)


def _label(row: Mapping[str, Any]) -> str | None:
    return row["label"] if isinstance(row.get("label"), str) else None


def _proposals(row: Mapping[str, Any]) -> tuple[list[str], list[float]]:
    """A mask's proposals and scores; those whose score is known and not negative."""
    found = stored_proposals(row, scored=True)
    pairs = [(name, score) for name, score in zip(found.names, found.scores, strict=True) if score >= 0]
    return [name for name, _ in pairs], [score for _, score in pairs]


def copied(
    rows: Sequence[Mapping[str, Any]], found: Sequence[Classified], persons: Sequence[Mapping[str, Any]]
) -> Document:
    """The Detections of a sample's masks under their classes.

    `persons`: what people touched of the field before, which stands in place of new copies of the same masks.
    """
    theirs = {str(row.get(SAID_ID)): row for row in persons}
    ids = {str(row["_id"]): theirs.get(str(row["_id"]), {"_id": ObjectId()})["_id"] for row in rows}
    new = [theirs.get(str(row["_id"])) or _copy(row, entry, ids) for row, entry in zip(rows, found, strict=True)]
    drawn = [row for row in persons if str(row.get(SAID_ID)) not in ids]
    return {"_cls": "Detections", "detections": [*new, *drawn]}


def _copy(row: Mapping[str, Any], found: Classified, ids: Mapping[str, ObjectId]) -> Document:
    copy = {**row, "_id": ids[str(row["_id"])], SAID_ID: str(row["_id"]), SAID: row.get("label")}
    if row.get("mask_digest") is None:
        with suppress(InputError):  # a mask that cannot be read is nobody's work
            copy["mask_digest"] = digest_of(row)
    for link in LINKS:
        if isinstance(row.get(link), str):
            copy[link] = str(ids[row[link]]) if row[link] in ids else None
    decided = found.decided
    if decided is not None:
        names, scores = list(decided.names), list(decided.scores)
        copy |= {"label": found.label, "class_name": found.label, "class_proposals": names, "proposal_scores": scores}
        if is_number(row.get("confidence")):
            copy["confidence"] = min(1.0, row["confidence"] * decided.share)
        if "vote_share" in row and scores:
            second = scores[1] if len(scores) > 1 else 0.0
            copy |= {"vote_share": scores[0], "vote_margin": max(scores[0] - second, 0.0)}
            for of_before in ("vote_entropy", *CHECK_ATTRIBUTES):
                copy.pop(of_before, None)
    return {name: value for name, value in copy.items() if value is not None}


def declare_copy(dataset: fo.Dataset, source: str, target: str) -> None:
    """Declare a Detections field with the attributes of another, and where its masks come from."""
    if dataset.get_field(target) is None:
        dataset.add_sample_field(target, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    prefix, known = f"{source}.detections.", dataset.get_field_schema(flat=True)
    wanted: dict[str, Any] = {
        path.removeprefix(prefix): kind
        for path, kind in known.items()
        if path.startswith(prefix) and "." not in path.removeprefix(prefix)
    }
    wanted |= {SAID: fo.StringField(), SAID_ID: fo.StringField(), "class_name": fo.StringField()}
    wanted |= {"mask_digest": fo.StringField()}
    wanted |= {"review": fo.StringField(), "reviewed_at": fo.DateTimeField()}
    wanted |= {"class_proposals": fo.ListField(fo.StringField()), "proposal_scores": fo.ListField(fo.FloatField())}
    _declare(dataset, {f"{target}.detections.{name}": kind for name, kind in wanted.items()})


def declare_attribute(dataset: fo.Dataset, source: str, attribute: str) -> None:
    """Declare a text attribute of a field's masks."""
    _declare(dataset, {f"{source}.detections.{attribute}": fo.StringField()})


def _declare(dataset: fo.Dataset, wanted: Mapping[str, Any]) -> None:
    """Declare what is not there, all at once: `add_sample_field` reads and writes all of the dataset for each."""
    schema = {}
    for path, kind in wanted.items():
        if dataset.get_field(path) is None:
            subfield = type(kind.field) if isinstance(kind, fo.ListField) and kind.field is not None else None
            document = kind.document_type if isinstance(kind, fo.EmbeddedDocumentField) else None
            name = path.rsplit(".", 1)[1]
            schema[path] = create_field(name, type(kind), subfield=subfield, embedded_doc_type=document)
    if schema:
        dataset._merge_sample_field_schema(schema)
