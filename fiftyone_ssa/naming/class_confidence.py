"""How likely a mask's name is right, by which other class its pixels may be: what a segmenter takes for what.

Dirichlet calibration (Kull et al. 2019) of two looks at once, the second without colours: a multinomial logistic of
what share each class has in them, fitted to true classes. It learns from every mask what is true there, not only
whether its name is, and so which classes are taken for which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from fiftyone_ssa.types import Floats, Ints, Proposals

Look = tuple[Proposals, Proposals]
"""The classes of a mask with their shares, as it is and without colours; empty where it was not looked at."""
LOOKS = 2
LEAST = 0.01
"""Shares well below count as none: a class counts by log(1 + share / LEAST)."""
SHRINK_SHARES, SHRINK_CONSTANTS, SHRINK_OTHERS = 9.0, 2.0, 180.0
"""How far weights are drawn to 0, in squared nats: of a class's own shares, of a class, of what is taken for what."""
MOST_CLASSES = 200
"""The most frequent ones are told apart, all others are one."""
MOST_MASKS = 20_000
"""Evenly chosen where there are more: so many tell what there is to tell, and bound memory."""


@dataclass(frozen=True, eq=False)
class Classes:
    """A multinomial logistic of the shares of K classes, and of one that stands for all others."""

    names: tuple[str, ...]
    constants: Floats
    """(K + 1,) of each class."""
    shares: Floats
    """(2,) what a class's own share adds to it, by look."""
    others: Floats
    """(2 (K + 1), K + 1) what the share of each class, by look, adds to each class."""

    def __call__(self, names: Sequence[str | None], looks: Sequence[Look]) -> Floats:
        """(N,) how likely each name is the true class; one that is not known is as likely as all that are not."""
        logs = _log_likely(_shares_of(looks, self.names), self.constants, self.shares, self.others)
        likely: Floats = np.exp(logs[np.arange(len(logs)), _places_of(names, self.names)])
        return likely

    @property
    def needs_check(self) -> bool:
        """Whether it was fitted on looks without colours."""
        return bool(self.shares[1] != 0)

    def row(self) -> dict[str, object]:
        """What a database holds of it."""
        numbers = {"constants": self.constants, "shares": self.shares, "others": self.others}
        return {"names": list(self.names), **{name: value.tolist() for name, value in numbers.items()}}

    @classmethod
    def of_row(cls, row: Mapping[str, list[object]]) -> Classes:
        """The same from `row`."""
        numbers = (np.array(row[name], np.float64) for name in ("constants", "shares", "others"))
        return cls(tuple(map(str, row["names"])), *numbers)


def fit_classes(looks: Sequence[Look], true: Sequence[str]) -> Classes:
    """The logistic under which N true classes are likeliest, by what N looks show."""
    if len(true) > MOST_MASKS:
        some = np.linspace(0, len(true) - 1, MOST_MASKS).astype(np.int64).tolist()
        looks, true = [looks[i] for i in some], [true[i] for i in some]
    counts = Counter(chain(true, *(proposed.names for look in looks for proposed in look)))
    known = tuple(name for name, _ in counts.most_common(MOST_CLASSES))
    table, wanted = _shares_of(looks, known), _places_of(true, known)
    rows, count = np.arange(len(true)), len(known) + 1
    sizes = count, LOOKS, LOOKS * count**2
    shrink = np.repeat([SHRINK_CONSTANTS, SHRINK_SHARES, SHRINK_OTHERS], sizes)
    by_look = [table[:, look * count : (look + 1) * count] for look in range(LOOKS)]

    def parts(weights: Floats) -> tuple[Floats, Floats, Floats]:
        constants, shares, others = np.split(weights, np.cumsum(sizes)[:-1])
        return constants, shares, others.reshape(LOOKS * count, count)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logs = _log_likely(table, *parts(weights))
        value = shrink @ weights**2 / 2 - logs[rows, wanted].sum()
        apart = np.exp(logs)
        apart[rows, wanted] -= 1
        of_shares = [look.multiply(apart).sum() for look in by_look]
        slopes = np.concatenate([apart.sum(0), of_shares, (table.T @ apart).ravel()])
        return float(value), slopes + shrink * weights

    best = minimize(loss, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return Classes(known, *parts(best.x))


def _shares_of(looks: Sequence[Look], known: Sequence[str]) -> csr_matrix:
    """(N, 2 (K + 1)) how much each look shows each of K classes, and others; 0 of those that it does not name."""
    count, place = len(known) + 1, {name: i for i, name in enumerate(known)}
    shares = np.zeros(0), np.zeros((2, 0), np.int64)
    cells = [
        (share, row, which * count + place.get(name, len(known)))
        for row, look in enumerate(looks)
        for which, proposed in enumerate(look)
        for name, share in zip(proposed.names, proposed.scores, strict=True)
    ]
    if cells:
        values, *where = zip(*cells, strict=True)
        shares = np.array(values), np.array(where)
    table = csr_matrix(shares, shape=(len(looks), LOOKS * count))
    table.sum_duplicates()
    table.data = np.log1p(table.data / LEAST)
    return table


def _places_of(names: Sequence[str | None], known: Sequence[str]) -> Ints:
    """(N,) the place of each name among K that are known, K for all others."""
    place = {name: i for i, name in enumerate(known)}
    return np.array([len(known) if name is None else place.get(name, len(known)) for name in names], np.int64)


def _log_likely(table: csr_matrix, constants: Floats, shares: Floats, others: Floats) -> Floats:
    """(N, K + 1) logarithm of how likely each class is."""
    count = len(constants)
    weights = others + np.concatenate([share * np.eye(count) for share in shares])
    logs: Floats = np.asarray(table @ weights) + constants
    logs -= logs.max(1, keepdims=True, initial=-np.inf)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    return logs
