"""What a person decides about masks: a name, an approval, a rejection; written at once, remembered, and undone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fiftyone_ssa.curation.deciding import Decision, Row, Work, decide, work_on
from fiftyone_ssa.curation.typed_names import check_name, settled
from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.labels import journal
from fiftyone_ssa.labels.appearance import add_names
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.lease import LeaseHeldError
from fiftyone_ssa.labels.reshape import taken_back
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, OPEN, REJECTED, state_of
from fiftyone_ssa.labels.shown import check_masks, is_named
from fiftyone_ssa.labels.stored_masks import stored_proposals
from fiftyone_ssa.labels.updates import now, said
from fiftyone_ssa.layouts.class_names import first_names
from fiftyone_ssa.masks.foreign import is_number, number_or_nan
from fiftyone_ssa.naming.arguments import check_flag

IMPORT = "import"
"""What masks that come back from another tool are, as a decision."""
ACTIONS = ("accept", "reject", "reopen")


@needs_database()
def relabel(
    samples: Any,
    label_field: str = "ssa",
    *,
    ids: Sequence[str] | None = None,
    label: str | None = None,
    proposal: int | None = None,
    sample_ids: Sequence[str] | None = None,
    dry_run: bool = False,
) -> Decision:
    """Give masks another name: they count as corrected, or as accepted where the name is the one that SSA gave.

    What SSA said stays beside it (`class_name`). A name that differs from a known one in case, spaces or dashes only
    is that one; a new one becomes a class of the maps with `repaint`.

    Args:
        samples: a dataset or view of images, or of patches
        label_field ("ssa"): its Detections field
        ids (None): the masks' ids; None: all that the view shows
        label (None): the name
        proposal (None): instead of a name, which of a mask's own proposals is taken, 1 for the first; masks that have
            fewer stay as they are
        sample_ids (None): the images of `ids`, which saves looking for them
        dry_run (False): whether to count only

    Returns the number of masks and a token for `undo`. Raises InputError for a bad argument, or if none of the ids is
    there.
    """
    work = _work(samples, label_field, ids, sample_ids, dry_run)
    if (label is None) == (proposal is None):
        raise InputError("give a name (label), or the number of a proposal (proposal), one of the two")
    if label is not None:
        name, note = settled(work.dataset, label_field, label)
        done = decide(work, "relabel", lambda row: _named(row, name), detail=f" {name!r}", note=note)
        _offer(work, done, [name])
        return done
    if type(proposal) is not int or proposal < 1:
        raise InputError(f"proposal must be a whole number, 1 for the first; got {shown(proposal)}")
    place = proposal - 1

    def take(row: Row) -> Said | None:
        names = stored_proposals(row).names
        return _named(row, names[place]) if place < len(names) else None

    done = decide(work, "relabel", take, detail=f" by their proposal {proposal}")
    if ids is not None and not done.masks:
        raise InputError(f"there is no proposal {proposal} for this; take another, or type a name")
    return done


@needs_database()
def review(
    samples: Any,
    action: str,
    label_field: str = "ssa",
    *,
    ids: Sequence[str] | None = None,
    class_name: str | None = None,
    min_margin: float | None = None,
    sample_ids: Sequence[str] | None = None,
    dry_run: bool = False,
) -> Decision:
    """Accept masks, reject them, or take back what was said of them.

    An accepted mask keeps its name in every later run, a rejected one is painted nowhere and exported nowhere. A
    reopened one has the name that SSA gave it, and is to be reviewed again. Without `ids`, only open masks are
    accepted: what was corrected or rejected stays so.

    Args:
        samples: a dataset or view of images, or of patches
        action: accept, reject or reopen
        label_field ("ssa"): its Detections field
        ids (None): the masks' ids; None: all that the view shows
        class_name (None): masks with this label only
        min_margin (None): masks whose name was at least so far ahead of the next only, from 0 to 1
        sample_ids (None): the images of `ids`, which saves looking for them
        dry_run (False): whether to count only

    Returns the number of masks and a token for `undo`. Raises InputError for a bad argument, or if none of the ids is
    there.
    """
    work = _work(samples, label_field, ids, sample_ids, dry_run)
    if action not in ACTIONS:
        raise InputError(f"action must be one of {', '.join(ACTIONS)}, got {shown(action)}")
    if class_name is not None:
        class_name = check_name(class_name)
    if min_margin is not None and not (is_number(min_margin) and 0 <= min_margin <= 1):
        raise InputError(f"min_margin must be a number from 0 to 1, got {shown(min_margin)}")
    ours, date = is_named(work.dataset, label_field), now()

    def change(row: Row) -> Said | None:
        margin = margin_of(row)
        if class_name is not None and row.get("label") != class_name:
            return None
        if min_margin is not None and (margin is None or margin < min_margin):
            return None
        if action == "accept":
            is_open = ids is not None or state_of(row, ours=ours) == OPEN
            return Said(row.get("label"), ACCEPTED, date) if is_open else None
        if action == "reject":
            return Said(row.get("label"), REJECTED, date)
        label = row["class_name"] if row.get("class_name") is not None or row.get("mask_digest") else row.get("label")
        fresh = Said(label, None, None)
        return fresh if fresh != said(row) else None

    of = f" of {class_name!r}" if class_name is not None else ""
    above = f" above margin {min_margin:g}" if min_margin is not None else ""
    return decide(work, action, change, detail=of + above)


@needs_database()
def rename_classes(
    samples: Any, mapping: Mapping[str, str], label_field: str = "ssa", *, dry_run: bool = False
) -> Decision:
    """Give every mask of some classes another name; what the view does not show stays.

    Renamed masks count as corrected, or as accepted where SSA gave them that name; rejected ones stay rejected.

    Args:
        samples: a dataset or view of images, or of patches
        mapping: name as it is to the new one; several may get the same
        label_field ("ssa"): its Detections field
        dry_run (False): whether to count only

    Returns the numbers of masks and a token for `undo`. Raises InputError for a bad argument, or if no mask has one of
    the names.
    """
    work = _work(samples, label_field, None, None, dry_run)
    if not isinstance(mapping, Mapping) or not mapping:
        raise InputError(f"mapping must be {{old name: new name}}, got {shown(mapping)}")
    old = [check_name(name, strip=False) for name in mapping]
    pairs = {name: settled(work.dataset, label_field, mapping[name], besides=old) for name in old}
    same = [name for name, (new, _) in pairs.items() if new == name]
    if same:
        raise InputError(f"{same[0]!r} would be renamed to itself; leave it out")

    def change(row: Row) -> Said | None:
        label = row.get("label")
        if label not in pairs:
            return None
        named = _named(row, pairs[label][0])
        return Said(named.label, REJECTED, row.get("reviewed_at")) if row.get("review") == REJECTED else named

    notes = dict.fromkeys(note for _, note in pairs.values() if note)
    done = decide(work, "rename", change, note="; ".join(notes))
    missing = [name for name in old if name not in done.labels]
    if not done.masks:
        raise InputError(f"no mask here is named {first_names(missing)}; write names as the App shows them")
    _offer(work, done, [new for new, _ in pairs.values()])
    told = ", ".join(f"{name} to {pairs[name][0]}: {done.labels.get(name, 0)}" for name in old)
    return replace(done, detail=f" ({told})")


@needs_database()
def undo(samples: Any, label_field: str = "ssa", token: str | None = None, *, dry_run: bool = False) -> Decision:
    """Take back the last decision on a field that is not taken back yet, or the one with a token.

    A mask that someone changed since, or that a run replaced, stays as it is and is counted. Calling it again goes
    one decision further back.

    Args:
        samples: the dataset, or any view of it
        label_field ("ssa"): the Detections field
        token (None): the decision's
        dry_run (False): whether to count only

    Raises InputError if there is none, or if every mask of it was changed since.
    """
    work = _work(samples, label_field, (), None, dry_run)
    found = journal.find(work.dataset, label_field, token)
    if found is None:
        what = "nothing to take back" if token is None else f"no decision {shown(token)} that is not taken back already"
        raise InputError(f"there is {what} on {label_field!r} of {work.dataset.name!r}")
    if found.action == IMPORT:
        return _import_undone(work, found, asked=token is not None)
    entries = journal.masks_of(found.token)
    work = replace(work, masks=entries, asked=None)
    every = {mask: pair for masks in entries.values() for mask, pair in masks.items()}

    def change(row: Row) -> Said | None:
        before, after = every[row["_id"]]
        return before if said(row) in (before, after) else None

    done = decide(work, "undo", change, recorded=False)
    if not dry_run and (done.masks or token is None):  # a later decision may be what changed them
        journal.take_back(found.token)
    changed = len(every) - done.masks
    if changed and not done.masks:
        then = "the next undo goes to the decision before it" if token is None else "take back what came later first"
        raise InputError(
            f"there is nothing to take back: the {counted(changed, 'mask')} of this decision changed since, or a run "
            f"replaced them; {then}"
        )
    note = f"{counted(changed, 'mask')} changed since {'stay' if changed > 1 else 'stays'}" if changed else ""
    return replace(done, token=found.token, detail=f" ({found.action})", note=note)


def _import_undone(work: Work, found: journal.Found, *, asked: bool) -> Decision:
    """Take back what came from another tool: names, masks as they were redrawn, and masks that were added."""
    masks, samples, changed = taken_back(work.dataset, work.field, found.token, dry_run=work.dry_run)
    if not work.dry_run and (masks or not asked):
        journal.take_back(found.token)
    if changed and not masks:
        raise InputError(
            f"there is nothing to take back: the {counted(changed, 'mask')} of this import changed since; take back "
            "what came later first"
        )
    note = f"{counted(changed, 'mask')} changed since {'stay' if changed > 1 else 'stays'}" if changed else ""
    return Decision(found.token, "undo", masks, samples, f" ({found.action})", note, work.dry_run)


def margin_of(row: Mapping[str, Any]) -> float | None:
    """How far a mask's name was ahead of the next: of the votes, or of the proposals' scores; None where unknown."""
    margin, scores = number_or_nan(row.get("vote_margin")), row.get("proposal_scores")
    if math.isnan(margin) and isinstance(scores, list) and len(scores) > 1:
        margin = number_or_nan(scores[0]) - number_or_nan(scores[1])
    return None if math.isnan(margin) else margin


def _work(samples: Any, label_field: Any, ids: Any, sample_ids: Any, dry_run: Any) -> Work:
    check_masks(samples, label_field)
    check_flag("dry_run", dry_run)
    return work_on(samples, label_field, ids, sample_ids, dry_run)


def _offer(work: Work, done: Decision, names: Sequence[str]) -> None:
    """Give new names a colour and a place among those that the App offers."""
    if done.masks and not work.dry_run:
        with suppress(LeaseHeldError):  # a run declares fields just now; what was decided is written all the same
            add_names(work.dataset, work.field, names)


def _named(row: Mapping[str, Any], name: str) -> Said:
    return Said(name, ACCEPTED if name == row.get("class_name") else CORRECTED, now())
