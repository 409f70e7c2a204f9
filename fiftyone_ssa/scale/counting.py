"""What an output folder holds, in numbers: classes, sources, sizes, failures, and what people corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fiftyone_ssa.errors import counted
from fiftyone_ssa.scale.query import Output

SIZES = "CASE WHEN area < 1024 THEN 'small' WHEN area < 9216 THEN 'medium' ELSE 'large' END"
"""COCO's sizes: below 32 x 32 pixels, below 96 x 96, and above."""


@dataclass(frozen=True)
class Stats:
    """The numbers of an output folder; counts of masks, but for `failures`."""

    out: str
    shards: int
    images: int
    masks: int
    failed: int
    """Images."""
    corrected: int
    """Masks about which people said something."""
    classes: Mapping[str | None, int]
    """Label, as it holds now, to masks, most first; None: those without a name."""
    sources: Mapping[str | None, int]
    """What proposed the name, to masks."""
    sizes: Mapping[str, int]
    """COCO's small, medium and large, to masks."""
    failures: Mapping[str, int]
    """Reason to images, most first."""

    def __str__(self) -> str:
        return (
            f"{counted(self.masks, 'mask')} on {counted(self.images, 'image')} of {counted(self.shards, 'shard')}; "
            f"{counted(self.failed, 'image')} failed; {counted(self.corrected, 'correction')}"
        )


def stats(out: Any) -> Stats:
    """Count what an output folder holds.

    Args:
        out: the folder that `annotate --format parquet` wrote

    Raises InputError if it is none, MissingDependencyError where DuckDB is not installed.
    """
    with Output(out) as output:
        return count(output)


def count(output: Output) -> Stats:
    """The numbers of an output folder that is open."""

    def by(what: str, table: str, order: str = "n DESC, key") -> dict[Any, int]:
        rows = output.rows(f"SELECT {what} AS key, count(*) AS n FROM {table} GROUP BY key ORDER BY {order}")
        return {row["key"]: row["n"] for row in rows}

    classes, failures = by("label", "masks"), by("reason", "failed")
    return Stats(
        out=str(output.root),
        shards=len(output.parts),
        images=by("status", "images").get("done", 0),
        masks=sum(classes.values()),
        failed=sum(failures.values()),
        corrected=sum(by("review IS NOT NULL", "corrections").values()),
        classes=classes,
        sources=by("source", "masks"),
        sizes=by(SIZES, "masks", "min(area)"),
        failures=failures,
    )
