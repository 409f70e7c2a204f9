"""Counts that were made already: a panel asks again whenever one looks at another tab and comes back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from bson import json_util

from fiftyone_ssa.curation.counts import latest_change
from fiftyone_ssa.labels.database import dataset_id, root_dataset, serialized, shown_dataset

Answer = TypeVar("Answer")

KEPT = 64
"""Answers that are remembered; each is some kilobytes."""
_answers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_lock = Lock()


def remembered(count: Callable[..., Answer], samples: Any, *arguments: Any) -> Answer:
    """`count(samples, *arguments)`, or what it answered for the same view, if nothing was written since.

    Args:
        count: a function of a view that changes nothing
        samples: a dataset or view
        arguments: further arguments of it, which can be compared
    """
    key = (count, *_state_of(samples), arguments)
    with _lock:
        if key in _answers:
            _answers.move_to_end(key)
            return _answers[key]  # type: ignore[no-any-return]
    answer = count(samples, *arguments)
    with _lock:
        _answers[key] = answer
        while len(_answers) > KEPT:
            _answers.popitem(last=False)
    return answer


def _state_of(samples: Any) -> tuple[str, ...]:
    """What a view shows of what, and when that was written last; for patches both they and their images."""
    stages = [{**stage, "_uuid": None} for stage in serialized(samples)]
    datasets = (root_dataset(samples), shown_dataset(samples))
    changes = [f"{dataset_id(dataset)} {latest_change(dataset)}" for dataset in datasets]
    return (*changes, str(root_dataset(samples).group_slice), json_util.dumps(stages))
