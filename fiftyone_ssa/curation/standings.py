"""Every stored evaluation of a dataset side by side: what each said of each class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import fiftyone as fo

from fiftyone_ssa.labels.database import dataset_id, needs_database, root_dataset
from fiftyone_ssa.labels.eval_keys import METHOD
from fiftyone_ssa.labels.evaluation import scores_of
from fiftyone_ssa.masks.miou import Scores


@dataclass(frozen=True)
class Standing:
    """One evaluation of ours, as it was stored."""

    eval_key: str
    pred_field: str
    gt_field: str
    when: datetime
    scores: Scores


@needs_database()
def standings(samples: Any) -> list[Standing]:
    """The evaluations that `evaluate` stored on a dataset, the earliest first; others' are left out.

    Args:
        samples: a dataset or view; evaluations are of the dataset
    """
    dataset = root_dataset(samples)
    found = []
    for key in dataset.list_evaluations(method=METHOD):
        info = dataset.get_evaluation_info(key)
        scores = _scores(_Run(dataset, key, str(dataset_id(dataset)), info.timestamp))
        if scores is not None:
            found.append(Standing(key, info.config.pred_field, info.config.gt_field, info.timestamp, scores))
    return sorted(found, key=lambda row: row.when)


@dataclass(frozen=True, eq=False)
class _Run:
    """An evaluation as it was stored at one time: its results are read once."""

    dataset: fo.Dataset
    key: str
    identity: str
    when: datetime

    def __hash__(self) -> int:
        return hash((self.key, self.identity, self.when))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Run)
        return same and (self.key, self.identity, self.when) == (other.key, other.identity, other.when)  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _scores(run: _Run) -> Scores | None:
    results = run.dataset.load_evaluation_results(run.key, cache=False)
    return None if results is None else scores_of(results)
