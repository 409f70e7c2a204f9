"""Images of two fields compared, in this process or in several, which load no FiftyOne: the same tally."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice

from fiftyone_ssa.labels.comparison import Classes, Document, Tally
from fiftyone_ssa.naming.workers import Workers, insist

Row = tuple[str, Document | None, Document | None]
"""A sample's id, its truth and its prediction, as MongoDB holds them."""
Numbers = tuple[float | None, float | None]
"""Pixel accuracy and mIoU of one image, None where there is none."""
Compared = tuple[Tally, dict[str, Numbers]]
SAMPLES = 16
"""Images that a process is given at a time."""


@dataclass(frozen=True)
class _Comparer:
    """What each process does; it is called there, with the process's number."""

    classes: Classes
    only_annotated: bool

    def __call__(self, _: int = 0) -> Callable[[list[Row]], Compared]:
        return partial(_compare, self.classes, self.only_annotated)


def compare(rows: Iterable[Row], tally: Tally, *, workers: int = 1) -> Iterator[tuple[str, Numbers | None]]:
    """Compare images into a tally; of each its numbers, None where it is left out.

    With several `workers` as many processes do, some images each at a time; the tally is the same.
    Raises InputError if a process ends over the same images twice.
    """
    comparer = _Comparer(tally.classes, tally.only_annotated)
    remaining = iter(rows)
    given: deque[list[str]] = deque()  # the ids of what is not merged yet

    def chunks() -> Iterator[list[Row]]:
        while chunk := list(islice(remaining, SAMPLES)):
            given.append([sample_id for sample_id, _, _ in chunk])
            yield chunk

    with ExitStack() as held:
        if workers == 1:
            answers: Iterator[Compared] = map(comparer(), chunks())
        else:
            answers = held.enter_context(Workers(comparer, workers)).map(chunks(), insist)
        for part, numbers in answers:
            tally.merge(part)
            yield from ((sample_id, numbers.get(sample_id)) for sample_id in given.popleft())


def _compare(classes: Classes, only_annotated: bool, rows: list[Row]) -> Compared:
    tally, numbers = Tally(classes, only_annotated=only_annotated), dict[str, Numbers]()
    for sample_id, truth, prediction in rows:
        scores = tally.add(sample_id, truth, prediction)
        if scores is not None:
            numbers[sample_id] = _number(scores.pixel_accuracy), _number(scores.mean_iou)
    return tally, numbers


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
