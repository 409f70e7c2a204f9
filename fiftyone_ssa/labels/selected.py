"""Where a field's masks are from, if `select` took them from Parquet labels: kept in `dataset.info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "fiftyone_ssa_selection"


def record_origin(dataset: Any, label_field: str, origin: Mapping[str, str]) -> None:
    """Keep where a field's masks are from: `out`, `where`, `sample`, and `layer`, the latest correction then."""
    dataset.info[KEY] = {**(dataset.info.get(KEY) or {}), label_field: dict(origin)}
    dataset.save()


def origin_of(dataset: Any, label_field: str) -> Mapping[str, str] | None:
    """Where a field's masks are from; None where `select` did not fill it."""
    origin: Mapping[str, str] | None = (dataset.info.get(KEY) or {}).get(label_field)
    return origin
