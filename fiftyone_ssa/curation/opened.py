"""Views of the masks that one is to look at: doubtful ones, and those that confuse names."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from fiftyone_ssa.curation.confusions import CLOSE, check_close, confuses, count_confusions
from fiftyone_ssa.curation.queue import review_queue
from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import check_whole_images, is_generated, needs_database
from fiftyone_ssa.labels.doubt import is_doubtful
from fiftyone_ssa.labels.shown import check_collection, check_masks, field_shown


@needs_database()
def doubtful(
    samples: Any, label_field: str | None = None, *, at_most: int | None = None, patches: bool = False
) -> fo.DatasetView:
    """The masks of a view whose names are most likely wrong and that nobody reviewed.

    Args:
        samples: a dataset or view of images, or of patches
        label_field (None): a Detections field; None is the one that the view shows
        at_most (None): so many, the most doubtful of all; None is every doubtful one (`labels.doubt.is_doubtful`)
        patches (False): whether to show each mask as a picture of its own, the most doubtful first where `at_most` is
            given

    Raises InputError for a bad argument.
    """
    field = check_opened(samples, label_field, patches)
    if at_most is None:
        return _shown(samples.filter_labels(field, is_doubtful()), field, patches)
    check_at_most(at_most)
    ids = [mask for _, mask, _ in review_queue(samples, field, limit=at_most).rows]
    view = samples.select_labels(ids=ids, fields=field)
    return _shown(view, field, patches).select(ids, ordered=True) if patches else view


@needs_database()
def confused(
    samples: Any,
    name: str | None = None,
    other: str | None = None,
    label_field: str | None = None,
    *,
    close: float = CLOSE,
    patches: bool = False,
) -> fo.DatasetView:
    """The masks of a view that confuse two names, or one name with any other: by proposals or by corrections.

    Args:
        samples: a dataset or view of images, or of patches
        name (None): a class name; None: the two names that are confused most often
        other (None): the name that it is confused with; None: any
        label_field (None): a Detections field; None is the one that the view shows
        close (0.2): how far the scores of a mask's first two proposals may be apart, 0 to 1
        patches (False): whether to show each mask as a picture of its own

    Raises InputError for a bad argument.
    """
    field = check_opened(samples, label_field, patches)
    check_names(name, other)
    check_close(close)
    if name is None:
        name, other = most_confused(samples, field, close)
    return _shown(samples.filter_labels(field, confuses(name, other, close=close)), field, patches)


def most_confused(samples: Any, field: str, close: float = CLOSE) -> tuple[str, str]:
    """The two names that are confused most often. Raises InputError where there are none."""
    for row in count_confusions(samples, field, close=close):
        return row.name, row.other
    raise InputError(f"no two names are confused in {field!r}: no proposals are close, and no name was corrected")


def check_opened(samples: Any, label_field: Any, patches: Any = False) -> str:
    """The field to look at. Raises InputError where an argument cannot be used."""
    check_collection(samples)
    field: str = field_shown(samples) if label_field is None else label_field
    check_masks(samples, field)
    if not isinstance(patches, bool):
        raise InputError(f"patches must be True or False, got {shown(patches)}")
    if patches and is_generated(samples):
        raise InputError("this view shows patches already; leave patches out, or pass the view before it")
    if patches:
        check_whole_images(samples, "a view of patches")
    return field


def check_at_most(at_most: Any) -> None:
    """Raise InputError unless `at_most` is a number of masks."""
    if type(at_most) is not int or at_most < 1:
        raise InputError(f"at_most must be a whole number from 1 on, got {shown(at_most)}")


def check_names(name: Any, other: Any) -> None:
    """Raise InputError unless these are two class names, one, or none."""
    if name is not None and (not isinstance(name, str) or not name):
        raise InputError(f"name must be a class name or None, got {shown(name)}")
    if other is not None and (not isinstance(other, str) or not other):
        raise InputError(f"other must be a class name or None, got {shown(other)}")
    if name is None and other is not None:
        raise InputError(f"other is {shown(other)} and name is missing; give name, and other beside it")
    if name is not None and name == other:
        raise InputError(f"name and other are both {shown(name)}; choose two names, or leave other out")


def _shown(view: Any, field: str, patches: bool) -> Any:
    return view.to_patches(field) if patches else view
