"""An ontology applied to stored labels: a new field or attribute, decided by what was proposed, and taken back."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo.errors import DocumentTooLarge, WriteError

from fiftyone_ssa.curation.ontology_app import try_to_offer_classes
from fiftyone_ssa.curation.ontology_copy import (
    SAID_ID,
    as_it_is,
    classified,
    copied,
    declare_attribute,
    declare_copy,
    is_kept,
)
from fiftyone_ssa.curation.ontology_journal import Before, Written, drop, last_values, record
from fiftyone_ssa.errors import InputError, counted, said_by, shown
from fiftyone_ssa.labels.appearance import try_to_prepare_app
from fiftyone_ssa.labels.database import (
    Document,
    check_whole_images,
    documents,
    is_generated,
    needs_database,
    refresh,
    reload_samples,
    root_dataset,
    samples_of,
)
from fiftyone_ssa.labels.fields import check_label_field
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.shown import check_masks, is_named, masks_of
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import later
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_decide import MIN_SHARE
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.naming.arguments import check_flag

BATCH_SAMPLES = 16
"""Samples that are held at once: one may have 16 MB."""
TRIES = 20
"""How often a sample is read again that others change meanwhile."""


@dataclass
class Applied:
    """What became of masks under an ontology."""

    token: str | None
    """For `undo_ontology`; None where nothing was written."""
    to: str
    masks: int = 0
    samples: int = 0
    renamed: int = 0
    """Masks whose class is not the name that they had."""
    others: int = 0
    """Masks that mean no class."""
    persons: int = 0
    """Masks that people named or reviewed, which keep their names."""
    classes: Counter[str | None] = field(default_factory=Counter)
    """Masks by their class."""
    errors: dict[str, str] = field(default_factory=dict)
    """Image path to reason, for every image that could not be done."""
    dry_run: bool = False

    def __str__(self) -> str:
        verb = "would give" if self.dry_run else "gave"
        told = [
            f"{verb} {counted(self.masks, 'mask')} in {counted(self.samples, 'image')} a class in {self.to!r}",
            f"{self.renamed:,} another than their name",
            f"{self.others:,} mean none",
            f"{self.persons:,} keep what people said",
        ]
        return "; ".join(told) + (f"; {counted(len(self.errors), 'image')} failed" if self.errors else "")


@needs_database()
def apply(
    ontology: Ontology,
    samples: Any,
    label_field: str = "ssa",
    *,
    to: str,
    min_share: float = MIN_SHARE,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Applied:
    """Decide every mask of a view again under an ontology's classes, by its stored proposals and their scores.

    No model is run. Masks that people reviewed, renamed, tagged or drew keep their names. The labels that were there
    stay as they are. In a new field the App's editor offers the classes, FiftyOne's taxonomy of them where it has that.

    Args:
        ontology: the classes; its `others` says what becomes of masks that mean none
        samples: a dataset or view of images; its filters count. For an attribute also a view of patches
        label_field ("ssa"): its Detections field
        to: a new field, which gets the masks with their classes; or `<label_field>.detections.<attribute>`, a new
            attribute of the masks that holds the class
        min_share (0.2): what a class's names must have together of the best name's score, 0 to 1
        overwrite (False): whether to replace what `to` holds of these images; what people touched there stays
        dry_run (False): whether to count only

    Returns the counts, and a token for `undo_ontology`. Raises InputError for a bad argument, or while another run
    writes `to`.
    """
    work = _work(ontology, samples, label_field, to, min_share)
    check_flag("overwrite", overwrite)
    check_flag("dry_run", dry_run)
    done = Applied(None if dry_run else secrets.token_hex(6), to, dry_run=dry_run)
    if dry_run:
        for masks in _chunks(work):
            _write(work, masks, done)
        return done
    with hold(work.dataset, work.target) as lease:
        refresh(work.dataset)
        if not overwrite:
            _check_free(work)
        with hold(work.dataset, SCHEMA, wait_seconds=30):
            work.declare()
        for masks in _chunks(work):
            lease.check()
            _write(work, masks, done)
    if not work.attribute:
        try_to_prepare_app(work.dataset, to)
        try_to_offer_classes(work.dataset, to, ontology)
    return done


@dataclass(frozen=True)
class _Work:
    ontology: Ontology
    samples: Any
    dataset: fo.Dataset
    source: str
    target: str
    """The field that is written."""
    attribute: str
    """Of the masks; empty: the field gets masks of its own."""
    min_share: float
    ours: bool
    """Whether SSA named masks of the source."""

    def declare(self) -> None:
        if self.attribute:
            declare_attribute(self.dataset, self.source, self.attribute)
        else:
            declare_copy(self.dataset, self.source, self.target)


def check_target(samples: Any, label_field: str, to: Any) -> None:
    """Raise InputError unless `apply` may write classes of these masks to `to`."""
    dataset, prefix = root_dataset(samples), f"{label_field}.detections."
    if isinstance(to, str) and to.startswith(prefix):
        attribute = to.removeprefix(prefix)
        check_label_field(attribute)
        known = dataset.get_field(to)
        if known is not None and not isinstance(known, fo.StringField):
            raise InputError(f"{to!r} exists and holds no text; choose another attribute")
        if attribute in _OURS:
            raise InputError(f"{attribute!r} is what SSA says of a mask; choose another attribute")
        return
    check_label_field(to)
    check_whole_images(samples, "an ontology in a new field")
    found = dataset.get_field(to)
    if to == label_field or (found is not None and getattr(found, "document_type", None) is not fo.Detections):
        raise InputError(f"to must be a new field, or {prefix}<attribute>; {to!r} is there already")


def _work(ontology: Any, samples: Any, label_field: Any, to: Any, min_share: Any) -> _Work:
    if not isinstance(ontology, Ontology):
        raise InputError(f"ontology must be an Ontology, got {shown(ontology)}; Ontology.load(path) reads one")
    check_masks(samples, label_field)
    if not (is_number(min_share) and 0 <= min_share <= 1):
        raise InputError(f"min_share must be a number from 0 to 1, got {shown(min_share)}")
    check_target(samples, label_field, to)
    dataset, ours = root_dataset(samples), is_named(root_dataset(samples), label_field)
    field_name, _, attribute = to.partition(".detections.")
    return _Work(ontology, samples, dataset, label_field, field_name, attribute, min_share, ours)


_READ = ("_id", "label", "class_name", "mask_digest", "review", "tags", "class_proposals", "proposal_scores")
"""What decides about a mask."""
_OURS = frozenset(("label", "class_name", "review", "mask_digest", "caption", "label_source", "source_name"))


def _check_free(work: _Work) -> None:
    """Raise InputError where `to` holds something in these images."""
    place = f"{work.target}.detections" + (f".{work.attribute}" if work.attribute else "")
    if work.dataset.get_field(place) is None:
        return
    holds = {(place if work.attribute else f"{place}.0"): {"$exists": True}}
    image = "$_sample_id" if is_generated(work.samples) else "$_id"
    ids = (row["image"] for row in documents(work.samples, [{"$project": {"_id": 0, "image": image}}]))
    there = 0
    while chunk := list(islice(ids, 10_000)):
        there += samples_of(work.dataset).count_documents({"_id": {"$in": chunk}, **holds})
    if there:
        raise InputError(
            f"{place!r} holds labels in {counted(there, 'image')} of these; choose another name for to, or pass "
            "overwrite=True, which keeps what people touched"
        )


def _chunks(work: _Work) -> Iterator[dict[ObjectId, set[ObjectId]]]:
    """Some samples at a time, each with the masks that the view shows of it."""
    shown_masks = masks_of(work.samples, work.source, {"ids": "$$this._id"})
    if is_generated(work.samples):  # patches of one image come one by one
        found: dict[ObjectId, set[ObjectId]] = {}
        for row in shown_masks:
            found.setdefault(row["sample"], set()).update(row["ids"])
        pairs = iter(found.items())
    else:
        pairs = ((row["sample"], set(row["ids"])) for row in shown_masks if row["ids"])
    while chunk := dict(islice(pairs, BATCH_SAMPLES)):
        yield chunk


def _write(work: _Work, masks: Mapping[ObjectId, Collection[ObjectId]], done: Applied) -> None:
    """Decide about the masks of some samples, and write them as they were read; what changed meanwhile is read anew."""
    waiting: set[ObjectId] = set(masks)
    fields = {"filepath": 1, "last_modified_at": 1, work.source: 1, work.target: 1}
    if done.token is None or work.attribute:  # the masks themselves are not copied
        fields = {"filepath": 1, "last_modified_at": 1, **{f"{work.source}.detections.{name}": 1 for name in _READ}}
        fields |= {f"{work.source}.detections.{work.attribute}": 1} if work.attribute else {}
    for _ in range(TRIES):
        found = {row["_id"]: row for row in samples_of(work.dataset).find({"_id": {"$in": list(waiting)}}, fields)}
        counts = {sample: Applied(done.token, done.to) for sample in found}
        given = last_values(work.dataset, done.to, found) if work.attribute else {}
        written = {
            sample: _decided(work, row, masks[sample], counts[sample], given.get(sample, {}))
            for sample, row in found.items()
        }
        waiting = set()
        if done.token is not None:
            failed = record(work.dataset, done.to, done.token, written.values())
            waiting, refused = _store(work, [entry for sample, entry in written.items() if sample not in failed])
            failed |= refused
            drop(done.token, waiting | set(failed))
            for sample, reason in failed.items():
                done.errors[str(found[sample].get("filepath"))] = reason
                del counts[sample]
            reload_samples(work.dataset, [str(sample) for sample in found if sample not in waiting])
        for sample, part in counts.items():
            if sample not in waiting:
                _add(done, part)
        if not waiting:
            return
    raise InputError(f"others keep changing {counted(len(waiting), 'image')} of these; apply it again when they end")


def _decided(
    work: _Work, document: Document, wanted: Collection[ObjectId], counts: Applied, given: Mapping[ObjectId, Any]
) -> Written:
    """What is to become of one sample; `given` is what ontologies gave the attribute of its masks."""
    before, masks = document.get(work.target), whole_rows(document.get(work.source))
    rows = [row for row in masks if row["_id"] in wanted]
    changed = {row["_id"] for row in rows if row["_id"] in given and row.get(work.attribute) != given[row["_id"]]}
    rows = [row for row in rows if row["_id"] not in changed]
    counts.masks += len(changed)
    counts.persons += len(changed)
    originals = {str(row["_id"]): row for row in masks}
    copies = () if work.attribute else whole_rows(before)
    persons = [row for row in copies if is_kept(row, originals.get(str(row.get(SAID_ID))))]
    theirs = {str(row.get(SAID_ID)): as_it_is(row, work.ontology) for row in persons}
    new = [
        theirs.get(str(row["_id"])) or classified(row, work.ontology, work.min_share, ours=work.ours) for row in rows
    ]
    for row, fresh in zip(rows, new, strict=True):
        counts.masks += 1
        counts.renamed += fresh.label != row.get("label")
        counts.persons += fresh.persons
        counts.others += not fresh.is_class and not fresh.persons
        counts.classes[fresh.label] += 1
    read = document.get("last_modified_at")
    stamp = later(read)
    if work.attribute:
        values = {row["_id"]: fresh.label for row, fresh in zip(rows, new, strict=True)}
        kept = {row["_id"]: row.get(work.attribute) for row in rows}
        return Written(document["_id"], read, stamp, Before(values=kept), values=values)
    return Written(document["_id"], read, stamp, Before(label=before), label=copied(rows, new, persons))


def _store(work: _Work, written: Collection[Written]) -> tuple[set[ObjectId], dict[ObjectId, str]]:
    """Write samples; answers those that changed since they were read, and why others cannot be written."""
    collection, late, failed = samples_of(work.dataset), set(), {}
    for entry in written:
        try:
            where, change, filters = entry.update(work.target, work.attribute)
            options = {"array_filters": filters} if filters else {}
            if not collection.update_one(where, change, **options).matched_count:
                late.add(entry.id)
        except (DocumentTooLarge, WriteError) as error:
            failed[entry.id] = (
                f"its labels do not fit into the database beside those of {work.source!r} "
                f"({said_by(error, 120)}); write an attribute instead: to={work.source}.detections.NAME"
            )
    return late, failed


def _add(done: Applied, part: Applied) -> None:
    done.masks += part.masks
    done.samples += bool(part.masks)
    done.renamed += part.renamed
    done.others += part.others
    done.persons += part.persons
    done.classes.update(part.classes)
