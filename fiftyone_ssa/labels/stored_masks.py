"""Masks of FiftyOne's labels, in: whatever a person, a model or another tool stored, checked before it is used.

Each function takes a label as FiftyOne's object or as the document that MongoDB holds. Reading the document costs less,
and one damaged mask of it fails alone: FiftyOne's object is not made at all if one of its masks is damaged.
"""

from __future__ import annotations

import base64
import io
import math
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.files import images
from fiftyone_ssa.files.packing import PackingError, inflate
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.placed import Placed, codes_of, runs_of_crops
from fiftyone_ssa.masks.runs import keep, runs_of
from fiftyone_ssa.types import MaskSet, Proposals

if TYPE_CHECKING:
    import fiftyone as fo  # processes that compare or read documents do without

Stored: TypeAlias = "fo.Label | Mapping[str, Any]"

# What zlib, base64 and numpy's parser of its own header raise of damaged bytes.
_DAMAGED = (
    *(ValueError, TypeError, KeyError, SyntaxError, EOFError, OverflowError, MemoryError, RecursionError),
    *(PackingError, tokenize.TokenError),
)
_USUAL = re.compile(
    rb"\x93NUMPY\x01\x00v\x00\{'descr': '\|b1', 'fortran_order': False, 'shape': \((\d{1,9}), (\d{1,9})\), \} *\n"
)
"""What stands before the pixels of most masks; numpy's own reading of it takes longer than all else."""
COLOURLESS = "colourless_classes", "colourless_scores"
"""Attributes that hold a mask's classes without colours and their shares, for `stored_proposals`."""
MAX_ARRAY_BYTES = 512_000_000
"""Of an array in the database, unpacked: sixteen packed megabytes may hold a thousand times as many zeros."""


def mask_set_from_detections(
    detections: Stored, size_hw: tuple[int, int], *, with_names: bool = False, in_place: bool = False
) -> MaskSet:
    """The masks of a Detections label, for an image of `size_hw`; what `masks_document` wrote comes back equal.

    A foreign mask is placed on the nearest pixels, resized (nearest) where it is not of its box's size. `source_ids`
    are the `sa1b_id`s, or the labels' ids. `with_names` reads labels and confidences as the masks' names (`given_name`;
    `in_place`: for labels of this same field). Numbers of other names' attributes that are none of ours are unknown.
    Raises InputError, with its index, if a detection has no mask that can be read, no box, or lies outside the image.
    """
    read = readable_masks(detections, size_hw, with_names=with_names, in_place=in_place)
    read.check()
    return read.masks


def readable_masks(
    detections: Stored, size_hw: tuple[int, int], *, with_names: bool = False, in_place: bool = False
) -> ReadMasks:
    """As `mask_set_from_detections`, but a detection whose mask cannot be read costs itself only.

    Raises InputError as that does where there are detections and none of them can be read.
    """
    if not _is_label(detections):
        raise InputError(f"a Detections label must be one, got {foreign.short(detections)}")
    found = value(detections, "detections") or []
    if not isinstance(found, Sequence):
        raise InputError(f"a Detections label must hold a list of detections, got {foreign.short(found)}")
    read = read_masks(found, size_hw)
    if not read.places:
        read.check()
    found = [found[place] for place in read.places]
    columns = mask_columns(read.masks, found)
    if with_names:
        given = [given_name(detection, in_place=in_place) for detection in found]
        scores = np.array([score for _, score in given], np.float64)
        columns |= {"source_names": tuple(name for name, _ in given), "source_scores": scores}
    return replace(read, masks=keep(replace(read.masks, **columns), runs_of(read.masks)))


@dataclass(frozen=True)
class ReadMasks:
    """The masks of one image that can be read, and why others cannot."""

    masks: MaskSet
    """N masks, nothing known but their pixels."""
    places: Sequence[int]
    """(N,) each mask's place among the detections."""
    problems: Mapping[int, InputError]
    """Place to what is wrong with the mask there."""

    def sentences(self, name: str) -> tuple[str, ...]:
        """The problems with their places in an image of this name."""
        return tuple(f"{name}: detection {place}: {error}" for place, error in self.problems.items())

    def check(self) -> None:
        """Raise InputError for the first problem, if there is one."""
        for place, error in self.problems.items():
            raise InputError(f"detection {place}: {error}") from error


def read_masks(detections: Sequence[Any], size_hw: tuple[int, int]) -> ReadMasks:
    """The masks of an image's detections, each as `mask_counts` reads it, and all of them together.

    Holds the pixels of one mask at a time. What is wrong with one costs that one only.
    """
    places: list[int] = []
    problems: dict[int, InputError] = {}

    def crops() -> Iterator[Placed]:
        for place, detection in enumerate(detections):
            try:
                crop = placed_mask(detection, size_hw)
            except InputError as error:
                problems[place] = error
            else:
                places.append(place)
                yield crop

    runs = runs_of_crops(crops(), size_hw)
    codes = codes_of(runs, size_hw[0] * size_hw[1])
    return ReadMasks(rle.mask_set(size_hw, codes, known=runs), places, problems)


def mask_columns(masks: MaskSet, detections: Sequence[Stored]) -> dict[str, Any]:
    """What detections say of their masks, as columns of the mask set; `masks` knows the boxes where none is stated."""

    def column(name: str, width: int) -> npt.NDArray[np.float64]:
        return np.array([_numbers(each, name, width) for each in detections], np.float64).reshape(-1, width)

    stated = column("source_box", 4)
    return {
        "predicted_iou": column("predicted_iou", 1)[:, 0],
        "stability_score": column("stability_score", 1)[:, 0],
        "points_xy": column("point", 2),
        "crop_boxes_xywh": column("crop_box", 4),
        "source_ids": tuple(map(_source_id, detections)),
        "source_boxes_xywh": np.where(np.isnan(stated), masks.source_boxes_xywh, stated),
    }


def given_name(detection: Stored, *, in_place: bool = False) -> tuple[str | None, float]:
    """What a mask is called where it comes from, and how sure that is, NaN where unknown.

    A confidence counts for the name that it was given with. `in_place` the label may be what an earlier run on this
    field said itself: then the name is the one that the mask had before, which that run kept as `source_name`.
    """
    label, said, known = (_text(value(detection, name)) for name in ("label", "class_name", "source_name"))
    if in_place and said is not None and label == said:
        label = known
    if label is not None and label == known:
        score = value(detection, "source_score")
    else:
        score = value(detection, "confidence") if label is not None and said in (None, label) else None
    return label, float(score) if foreign.is_number(score) and 0 <= score <= 1 else math.nan


def stored_proposals(
    label: Stored, names: str = "class_proposals", scores: str = "proposal_scores", *, scored: bool = False
) -> Proposals:
    """What was proposed for a mask: every name that is a text, its score NaN where that is missing or no finite number.

    `names`, `scores`: the attributes that hold them; anything but lists holds none. `scored`: those with a score alone.
    """
    said, told = (found if isinstance(found := value(label, key), list | tuple) else () for key in (names, scores))
    pairs = zip_longest(said, map(foreign.number_or_nan, told[: len(said)]), fillvalue=math.nan)
    kept = [(name, score) for name, score in pairs if isinstance(name, str) and not (scored and math.isnan(score))]
    return Proposals(tuple(name for name, _ in kept), tuple(score for _, score in kept))


def whole_rows(label: Any) -> list[Mapping[str, Any]]:
    """The detections of a Detections document that have the form of one; of anything else none."""
    rows = label.get("detections") if isinstance(label, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping) and "_id" in row] if isinstance(rows, list) else []


def mask_counts(detection: Stored, size_hw: tuple[int, int]) -> bytes:
    """The compressed code of one detection's mask in an image of `size_hw`.

    Raises InputError if it has no mask that can be read, no box, or lies outside the image.
    """
    return rle.encode_crop(*placed_mask(detection, size_hw), size_hw)


def placed_mask(detection: Stored, size_hw: tuple[int, int]) -> Placed:
    """The part (h, w) of one detection's mask that an image of `size_hw` shows, and its corner x, y in it.

    Raises InputError as `mask_counts` does.
    """
    if not _is_label(detection):
        raise InputError(f"it must be a detection, got {foreign.short(detection)}")
    crop = stored_mask(detection)
    if crop is None:
        raise InputError("it has no mask, only a box; choose a field with instance masks")
    if crop.size == 0:
        raise InputError(f"its mask has no pixels, its shape is {crop.shape}")
    height, width = size_hw
    share = foreign.box(_plain_list(value(detection, "bounding_box")), "bounding_box")
    x, y, box_width, box_height = share[0] * width, share[1] * height, share[2] * width, share[3] * height
    left, top = round(x), round(y)
    rows, columns = crop.shape
    if max(abs(columns - box_width), abs(rows - box_height)) >= 1:
        rows, columns = max(round(box_height), 1), max(round(box_width), 1)
    elif left >= 0 and top >= 0 and left + columns <= width and top + rows <= height:
        return crop, (left, top)
    down, right = _inside(top, rows, height), _inside(left, columns, width)
    if not len(down) or not len(right):
        raise InputError(f"it lies outside its image: its box is {foreign.short(share)}, from 0 to 1 is inside")
    # Only what the image shows is ever resized, so that a box of a million pixels costs nothing.
    if (rows, columns) == crop.shape:
        crop = crop[down[0] : down[-1] + 1, right[0] : right[-1] + 1]
    else:
        crop = crop[np.ix_(down * crop.shape[0] // rows, right * crop.shape[1] // columns)]
    return crop, (max(left, 0), max(top, 0))


def stored_mask(detection: Stored) -> npt.NDArray[np.bool_] | None:
    """A detection's mask (h, w) as it is stored, inline or in a file; None where it has none.

    Pixels above 0 in a colour channel are set, transparency says nothing. Raises InputError if it cannot be read.
    """
    inline, path = value(detection, "mask"), value(detection, "mask_path")
    if inline is not None:
        return images.is_set(read_array(inline))
    return images.read_mask(_path(path)) if path else None


def stored_values(segmentation: Stored) -> npt.NDArray[Any] | None:
    """A Segmentation's values, (H, W) or (H, W, 3), as they are stored; None where it has none.

    A palette's values are its indices, as other tools' class maps mean them. Raises InputError if it cannot be read.
    """
    inline, path = value(segmentation, "mask"), value(segmentation, "mask_path")
    if inline is not None:
        return read_array(inline)
    return images.read_values(_path(path)) if path else None


def value(label: Stored, name: str) -> Any:
    """An attribute of a label, None where it is absent."""
    if isinstance(label, (dict, Mapping)):
        return label.get(name)
    if isinstance(label, sys.modules["fiftyone"].Detection):
        return label.get_attribute_value(name, None)
    return label[name] if name in label.field_names else None


def _is_label(stored: Any) -> bool:
    """Whether it is a document or one of FiftyOne's labels; where FiftyOne is not loaded, it is none of its."""
    if isinstance(stored, (dict, Mapping)):  # most are dicts, and asking for a Mapping takes long
        return True
    fiftyone = sys.modules.get("fiftyone")
    return fiftyone is not None and isinstance(stored, fiftyone.Label)


def _text(stored: Any) -> str | None:
    return stored.strip() or None if isinstance(stored, str) else None


def _path(stored: Any) -> str:
    if not isinstance(stored, str):
        raise InputError(f"its mask_path is no path, got {foreign.short(stored)}")
    return stored


def read_array(stored: Any) -> npt.NDArray[Any]:
    """An array as FiftyOne's ArrayField holds it: zlib over `numpy.save`, as base64 where it was written as JSON.

    Raises InputError if it is none, or would take more than `MAX_ARRAY_BYTES`.
    """
    if isinstance(stored, np.ndarray):
        return stored
    if not isinstance(stored, bytes | str):
        raise InputError(f"its mask is no array, got {foreign.short(stored)}")
    try:
        packed = base64.b64decode(stored, validate=True) if isinstance(stored, str) else bytes(stored)
        content = inflate(packed, MAX_ARRAY_BYTES + 1)
        usual = _USUAL.match(content)
        if usual is not None and int(usual[1]) * int(usual[2]) == len(content) - usual.end():
            return np.frombuffer(content, np.bool_, offset=usual.end()).reshape(int(usual[1]), int(usual[2]))
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        # numpy would take the memory for what the header claims before it looks whether the values are there
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
            raise InputError(f"its mask is damaged: {shape} {dtype} values are not what it holds")
        file.seek(0)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(f"its mask is damaged: {said_by(error)}") from error
    return array


def _inside(start: int, length: int, side: int) -> npt.NDArray[np.int64]:
    """Which of `length` pixels from `start` on lie in an image of `side` pixels, counted from `start`."""
    return np.arange(max(-start, 0), max(min(length, side - start), 0), dtype=np.int64)


def _numbers(detection: Stored, name: str, width: int) -> list[float]:
    """An attribute's numbers; NaN where there are none, or where a user's own attribute has the same name."""
    stored = _plain_list(value(detection, name))
    if stored is None:
        return [math.nan] * width
    try:
        return [math.nan] * width if stored == [] else foreign.numbers(stored, width, name)
    except InputError:
        return [math.nan] * width


def _plain_list(stored: Any) -> Any:
    return stored.tolist() if isinstance(stored, np.ndarray) else stored


def _source_id(detection: Stored) -> Any:
    known = value(detection, "sa1b_id")
    return known if known is not None else str(value(detection, "_id" if isinstance(detection, Mapping) else "id"))
