"""Ground truth that may hold other numbers than its name or its classes say: found from all values that occur in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MOST_VALUES = 100_000
MOVED_CLASSES = 4
IGNORED = (255, 65535)
"""Values that stand for "no class" in 8 and 16 bits."""


class Seen:
    """Which values occur in the images looked at so far."""

    def __init__(self) -> None:
        self.values: set[int] = set()

    def add(self, values: npt.NDArray[np.integer[Any]]) -> None:
        """Look at one image's (H, W) whole numbers."""
        if len(self.values) > MOST_VALUES:
            return  # no class map: whatever is to be said of it has its examples
        few = values.dtype in (np.uint8, np.uint16)
        present = np.flatnonzero(np.bincount(values.ravel())) if few else np.unique(values)
        self.values.update(present.tolist())

    def merge(self, other: Seen) -> None:
        """Take over what occurs in images looked at elsewhere."""
        if len(self.values) <= MOST_VALUES:
            self.values |= other.values


def already_reduced(seen: Seen, class_count: int) -> list[str]:
    """A sentence where maps that should hold class id + 1, 0 = ignored, seem to hold ids from 0, 255 = ignored."""
    if {0, 255} <= seen.values and class_count < 255 and class_count not in seen.values:
        return [
            f"the ground truth holds 0 and 255 but never {class_count}, as if class ids were counted from 0 with 255 = "
            f"ignored; it is read as class id + 1 with 0 = ignored, so every score is wrong if that is so"
        ]
    return []


def unnamed(seen: Seen, named: set[int], what: str = "ground truth", *, colours: bool = False) -> list[str]:
    """A sentence where values occur that have no name; 0, 255 and 65535 (of colours black) mean "no class" anyway."""
    values = sorted(seen.values - named - ({0} if colours else {0, *IGNORED}))
    if not values:
        return []
    listed = ", ".join(f"#{value:06x}" if colours else str(value) for value in values[:5])
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return [f"{'colours' if colours else 'values'} of the {what} without a name count as no class: {listed}{more}"]


def shifted(confusion: npt.NDArray[np.integer[Any]]) -> list[str]:
    """A sentence where far more pixels of a confusion matrix (C, C or more) agree if true ids are moved by one."""
    count, pixels = len(confusion), int(confusion.sum())
    agree = int(np.trace(confusion[:, :count]))
    for step, where in ((1, "higher"), (-1, "lower")):
        moved = np.diagonal(confusion[:, :count], step)
        # several classes must say so: in few, a bad segmenter looks the same
        if (moved > 0).sum() >= MOVED_CLASSES and moved.sum() > 2 * agree and moved.sum() > pixels / 5:
            return [
                f"{moved.sum() / pixels:.0%} of the pixels would agree (now {agree / pixels:.0%}) if the ground "
                f"truth's class ids were one {where}: its values may count from another number than is expected"
            ]
    return []
