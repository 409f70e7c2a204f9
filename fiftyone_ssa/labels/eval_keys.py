"""Which evaluation keys are free, and which sample fields are an evaluation's own: nobody else's is taken."""

from __future__ import annotations

import logging
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.labels.fields import LONGEST

logger = logging.getLogger(__name__)

METHOD = "ssa"
"""What FiftyOne calls our evaluations' method."""
FIELD_MARK = "fiftyone_ssa_evaluation"
"""In a sample field's `info`: the `fields_id` of the evaluation that made it."""


def check_eval_key(samples: Any, eval_key: str, pred_field: str, gt_field: str) -> None:
    """Raise InputError where `evaluate` cannot store its results under `eval_key`, and say why."""
    dataset = root_dataset(samples)
    fits = isinstance(eval_key, str) and eval_key.isidentifier() and len(eval_key) <= LONGEST
    if not fits or eval_key.startswith("_"):
        raise InputError(
            f"the evaluation key must be letters, digits and underscores, at most {LONGEST}, starting with a letter; "
            f"got {shown(eval_key)}; for example 'ssa_eval'"
        )
    mark: str | None = ""
    if dataset.has_evaluation(eval_key):
        config = _stored_config(dataset, eval_key)
        if getattr(config, "method", None) != METHOD:
            raise InputError(f"the key {eval_key!r} holds an evaluation of another kind; choose another key")
        if (config.pred_field, config.gt_field) != (pred_field, gt_field):
            raise InputError(
                f"the key {eval_key!r} holds an evaluation of other fields, {config.pred_field!r} against "
                f"{config.gt_field!r}; choose another key"
            )
        mark = config.fields_id
    schema = dataset.get_field_schema()
    foreign = [name for name in field_names(eval_key) if name in schema and not has_mark(schema[name], mark)]
    if foreign:
        raise InputError(
            f"the evaluation {eval_key!r} would fill {' and '.join(map(repr, foreign))}, which exists and is not its "
            "own; choose another key, or rename that field"
        )


def _stored_config(dataset: Any, eval_key: str) -> Any:
    try:
        return dataset.get_evaluation_info(eval_key).config
    except Exception as error:  # noqa: BLE001  (whatever the class that wrote it raises now)
        logger.debug("the evaluation %r cannot be loaded: %s", eval_key, error)
        return None


def field_names(eval_key: str) -> list[str]:
    """The sample fields that an evaluation of ours fills."""
    return [f"{eval_key}_accuracy", f"{eval_key}_miou"]


def has_mark(field: Any, mark: str | None) -> bool:
    """Whether a sample field is of the run with this mark; None: a number that no run has marked."""
    return isinstance(field, fo.FloatField) and (field.info or {}).get(FIELD_MARK) == mark
