"""A user's own classes: a list of names, or which value or colour of the ground truth has which name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import Values, read_colours, read_values
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.layouts.encodings import IGNORED, Seen, unnamed
from fiftyone_ssa.masks.miou import ids_dtype
from fiftyone_ssa.types import ClassIds, Ints, one_class_a_name

ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Kinds of files that hold class values exactly."""
EXPECTED = 'a text file of names, one a line in id order, or JSON: [name, ...] or {"value or #rrggbb": name}'
Given = str | Path | Sequence[str] | Mapping[int | str, str]


@dataclass(frozen=True, eq=False)
class OwnClasses:
    """Names in id order, and what the ground truth holds for each; values of one name are one class."""

    names: tuple[str, ...]
    """C names, all different."""
    values: Ints
    """(V,) the pixel values that have a class, or their colours as 0xRRGGBB."""
    ids: Ints
    """(V,) the class of each."""
    colours: bool = False
    listed: bool = True
    """Whether names were given alone, so that values count from 0 and every other value is wrong."""

    @property
    def unnamed(self) -> tuple[str, ...]:
        """The names in the order of their values, if these count from 0; else none."""
        counts_from_0 = not self.colours and bool((self.values == np.arange(len(self.values))).all())
        return tuple(self.names[place] for place in self.ids) if counts_from_0 else ()

    def read(self, path: Path) -> Values:
        """The stored values of a ground truth file, or its colours."""
        return read_colours(path) if self.colours else read_values(path)

    def class_ids(self, values: Values) -> ClassIds:
        """Class ids (H, W) of stored values. What no class has is ignored.

        Raises InputError where names were given alone and a value is beyond them that is not 255 or 65535.
        """
        if values.dtype in (np.uint8, np.uint16):  # a table of all values is faster than looking for each pixel's
            table = self._ids(np.arange(np.iinfo(values.dtype).max + 1))
            ids = table[values]
        else:
            ids = self._ids(values)
        if self.listed:
            self._check(values, ids)
        return ids

    def _ids(self, values: Values) -> ClassIds:
        order = np.argsort(self.values)
        place = np.minimum(np.searchsorted(self.values[order], values), len(order) - 1)
        dtype = ids_dtype(len(self.names))
        ids: npt.NDArray[Any] = self.ids[order][place].astype(dtype)
        ids[self.values[order][place] != values] = np.iinfo(dtype).max
        return ids

    def doubts(self, seen: Mapping[str, Seen]) -> list[str]:
        """A sentence on values that no class has."""
        named = set(self.values.tolist())
        sentences = [sentence for found in seen.values() for sentence in unnamed(found, named, colours=self.colours)]
        return [] if self.listed else sentences  # an image with such values is an error there

    def _check(self, values: Values, ids: ClassIds) -> None:
        wrong = (ids == np.iinfo(ids.dtype).max) & ~np.isin(values, IGNORED)
        if wrong.any():
            raise InputError(
                f"ground truth value {int(values[wrong].flat[0])} has no class: there are {len(self.values)} names, "
                f"for 0 to {len(self.values) - 1}, and 255 is ignored; give a mapping of value to name for others"
            )


def own_classes(given: Given) -> OwnClasses:
    """Classes from a file (see `EXPECTED`), a sequence of names, or a mapping of value or "#rrggbb" to name."""
    content: Any = _read(Path(given).expanduser()) if isinstance(given, str | Path) else given
    where = f"{given}: " if isinstance(given, str | Path) else "classes: "
    if isinstance(content, Mapping):
        keys = {_key(key, where): key for key in content}
        colours = {isinstance(key, str) and key.startswith("#") for key in content}
        if len(keys) != len(content) or len(colours) > 1:
            raise InputError(f"{where}every value once, and either numbers or colours; got {list(content)[:6]}")
        values = list(keys) if colours == {True} else sorted(keys)
        names = [content[keys[value]] for value in values]
        own, ids = one_class_a_name(_names(names, where))
        return OwnClasses(own, np.array(values, np.int64), ids, colours == {True}, listed=False)
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        own, ids = one_class_a_name(_names(content, where))
        return OwnClasses(own, np.arange(len(content)), ids)
    raise InputError(f"{where}expected {EXPECTED}, got a {type(content).__name__}")


def _read(path: Path) -> Any:
    if regular_size(path) > 10_000_000:
        raise InputError(f"{path} is too large for a list of classes; expected {EXPECTED}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no list of classes ({error}); expected {EXPECTED}") from error
    return text.rstrip().splitlines()


def _names(names: Sequence[Any], where: str) -> list[str]:
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}the name of class {place} must be text that is not empty, got {name!r}")
    if not 0 < len(names) < 65535:
        raise InputError(f"{where}expected {EXPECTED}; got {len(names)} names")
    return [name.strip() for name in names]


def _key(key: Any, where: str) -> int:
    """A pixel value, or a colour as 0xRRGGBB."""
    text = str(key)
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return int(text[1:], 16)
    if isinstance(key, bool) or not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise InputError(f'{where}{key!r} is no value of 0 to 65535 and no colour like "#ff0000"; expected {EXPECTED}')
    return int(text)
