"""What was computed for a text once is kept for the run, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """Answers texts from what it has seen; `compute` is asked once for the distinct new ones, in order.

    At most `capacity` answers are kept, the longest unused going first, so that memory does not grow with a run.
    """

    def __init__(self, compute: Callable[[list[str]], Sequence[Value]], capacity: int) -> None:
        self._compute = compute
        self._capacity = capacity
        self._kept: OrderedDict[str, Value] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> list[Value]:
        """One answer per text, in order; equal texts share one."""
        distinct = dict.fromkeys(texts)
        new = [text for text in distinct if text not in self._kept]
        if new:
            self._kept.update(zip(new, self._compute(new), strict=True))
        for text in distinct:
            self._kept.move_to_end(text)
        answers = [self._kept[text] for text in texts]
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return answers

    def keep(self, answers: Mapping[str, Value]) -> None:
        """Take answers that were computed elsewhere, within the bound."""
        self._kept.update(answers)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)
