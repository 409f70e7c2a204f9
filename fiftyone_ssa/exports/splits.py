"""Which split an image of an export goes to: by ratio, the same for every order of the images, or by a field."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.masks.foreign import is_number


class Splits:
    """The splits of an export, and how images are told apart."""

    def __init__(self, names: tuple[str, ...] = (), field: str | None = None) -> None:
        """`field` names the field whose values are the splits, where there is one."""
        self.names, self.field = names, field
        self._cuts: list[int] = []
        self._seed = 0

    @classmethod
    def by_ratio(cls, shares: Mapping[str, Any], paths: Iterable[str], seed: int) -> Splits:
        """Splits of given shares of the images, a file always in one, whatever the order of `paths`.

        Files are ranked by a hash of `seed` and their path, so that images that are added later move few others.
        Raises InputError unless shares are numbers above 0.
        """
        names = check_names(shares)
        if not all(is_number(share) and math.isfinite(share) and share > 0 for share in shares.values()):
            raise InputError(
                f"splits must be names with shares above 0, as {{'train': 0.8}}, got {shown(dict(shares))}"
            )
        splits = cls(names)
        splits._seed = seed
        ranks = np.unique(np.fromiter((splits._rank(path) for path in paths), np.uint64))
        bounds = np.cumsum([float(shares[name]) for name in names])
        places = np.rint(bounds / bounds[-1] * len(ranks)).astype(np.int64)
        splits._cuts = [int(ranks[place]) if place < len(ranks) else 1 << 64 for place in places.tolist()]
        return splits

    @classmethod
    def by_field(cls, field: str, values: Iterable[Any]) -> Splits:
        """Splits that a field's values name. Raises InputError if one of them can be no folder."""
        return cls(check_names(sorted({str(value) for value in values if value is not None})), field)

    def of(self, path: str, value: Any = None) -> str | None:
        """The split of an image, "" where there are none, None where its field names none of them."""
        if not self.names:
            return ""
        if self.field is not None:
            values = value if isinstance(value, list) else [value]
            return next((str(each) for each in values if str(each) in self.names), None)
        rank = self._rank(path)
        return next(name for name, cut in zip(self.names, self._cuts, strict=True) if rank < cut)

    def _rank(self, path: str) -> int:
        digest = hashlib.blake2b(f"{self._seed} {path}".encode("utf-8", "surrogatepass"), digest_size=8)
        return int.from_bytes(digest.digest())


def read_splits(text: str) -> dict[str, float] | str:
    """Splits as one types them: `train=0.8,val=0.2`, or the name of a field. Raises InputError for what is neither."""
    if "=" not in text:
        return text.strip()
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if twice := _repeated(name.strip() for name, _, _ in pairs):
        raise InputError(f"the split {shown(twice)} has two shares; give it one")
    try:
        return {name.strip(): float(share) for name, _, share in pairs}
    except ValueError as error:
        raise InputError(f"splits must be shares, as train=0.8,val=0.2, or a field, got {shown(text)}") from error


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of splits, each fit for a folder. Raises InputError otherwise, or if there is none."""
    found = tuple(names)
    wrong = [name for name in found if not isinstance(name, str) or not re.fullmatch(r"[\w][\w.-]{0,63}", name)]
    if wrong or not found:
        got = shown(wrong[0]) if wrong else "none"
        raise InputError(f"a split's name must be letters, digits, '_', '-' and '.', as 'train', got {got}")
    if twice := _repeated(name.casefold() for name in found):
        raise InputError(f"two splits are called {shown(twice)}, which many disks take for one folder; rename one")
    return found


def _repeated(names: Iterable[str]) -> str | None:
    """A name that comes twice."""
    return next((name for name, times in Counter(names).items() if times > 1), None)
