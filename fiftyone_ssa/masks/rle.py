"""Masks as COCO run-length codes: boxes, areas, dense crops, crops at a scale. Pure functions on numpy.

A code is column-major: lengths of alternating runs of 0 and 1 down the columns, starting with 0, written as
variable-length differences (the format of pycocotools, whose bytes these functions read and write).
Working on runs instead of pixels makes a box, an area or a vote cost what the outline costs, not what the image does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.runs import Runs, digits, keep, read_runs, run_lengths
from fiftyone_ssa.types import COLUMNS, Floats, Ints, MaskSet

COLUMNS_AT_A_TIME = 512
"""Of a class map, which are turned and compared together."""


def mask_set(
    size_hw: tuple[int, int],
    rles: Sequence[bytes | str],
    *,
    source_boxes_xywh: npt.ArrayLike | None = None,
    predicted_iou: npt.ArrayLike | None = None,
    stability_score: npt.ArrayLike | None = None,
    points_xy: npt.ArrayLike | None = None,
    crop_boxes_xywh: npt.ArrayLike | None = None,
    source_ids: Sequence[Any] | None = None,
    source_names: Sequence[str | None] | None = None,
    source_scores: npt.ArrayLike | None = None,
    records: Sequence[Mapping[str, Any]] | None = None,
    known: Runs | None = None,
) -> MaskSet:
    """Masks from N compressed COCO codes; boxes and areas come from the codes, or from their runs where `known`.

    Columns left out are NaN; `source_boxes_xywh` left out are the tight boxes in SAM's convention, w = xmax - xmin.
    Raises InputError if a code is damaged or does not describe an image of `size_hw` (height, width).
    """
    count = len(rles)
    codes = tuple(code.encode("utf-8", "surrogatepass") if isinstance(code, str) else bytes(code) for code in rles)
    found = read_runs(codes, size_hw) if known is None else known
    boxes, areas = boxes_and_areas(found, size_hw[0])

    sam_boxes = np.column_stack([boxes[:, :2], np.maximum(boxes[:, 2:] - 1, 0)])
    numbers = {
        "source_boxes_xywh": sam_boxes if source_boxes_xywh is None else source_boxes_xywh,
        "predicted_iou": predicted_iou,
        "stability_score": stability_score,
        "points_xy": points_xy,
        "crop_boxes_xywh": crop_boxes_xywh,
        "source_scores": source_scores,
    }
    masks = MaskSet(
        size_hw=(int(size_hw[0]), int(size_hw[1])),
        rles=codes,
        boxes_xywh=boxes,
        areas_px=areas,
        source_ids=tuple(source_ids) if source_ids is not None else (None,) * count,
        source_names=tuple(source_names) if source_names is not None else (None,) * count,
        records=tuple(records) if records is not None else ({},) * count,
        **{name: COLUMNS[name].floats(values, count) for name, values in numbers.items()},
    )
    return keep(masks, found)


def runs(counts: bytes, size_hw: tuple[int, int]) -> Ints:
    """Run lengths of a compressed code: (R,) int64, runs of 0 and 1 in turn, starting with 0.

    Raises InputError if the code is damaged or does not describe an image of `size_hw` (height, width).
    """
    return run_lengths([counts], size_hw)[0]


def counts_from_runs(lengths: Ints) -> bytes:
    """The compressed code of run lengths (R,), as pycocotools writes it."""
    values = np.array(lengths, np.int64)
    values[3:] -= lengths[1:-2]
    return digits(values)[0].tobytes()


def intervals(lengths: Ints) -> tuple[Ints, Ints]:
    """Starts and ends (exclusive) of the runs of 1, as offsets into the column-major image, empty runs left out."""
    edges = np.cumsum(lengths)
    starts, ends = edges[0 : len(edges) - 1 : 2], edges[1::2]
    keep = ends > starts
    return starts[keep], ends[keep]


def counts_from_intervals(starts: Ints, ends: Ints, pixels: int) -> bytes:
    """The compressed code of ascending runs of 1 that do not touch, in an image of `pixels` pixels."""
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[-1] = 0, pixels
    edges[1:-1:2], edges[2:-1:2] = starts, ends
    lengths = np.diff(edges)
    # pycocotools ends a code with the last run of 1 where that reaches the last pixel
    return counts_from_runs(lengths[:-1] if len(lengths) > 1 and lengths[-1] == 0 else lengths)


def encode(mask: npt.NDArray[np.bool_]) -> bytes:
    """The compressed code of a (H, W) bool mask."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"a mask must be (H, W) bool, got {mask.shape} {mask.dtype}")
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    lengths = np.diff(bounds)
    return counts_from_runs(np.concatenate([[0], lengths]) if flat.size and flat[0] else lengths)


def decode(counts: bytes, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The dense (H, W) bool mask of a code."""
    return decode_crop(counts, size_hw, (0, 0, size_hw[1], size_hw[0]))


def decode_crop(counts: bytes, size_hw: tuple[int, int], crop_xyxy: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """The part of a mask inside a crop, (y1 - y0, x1 - x0) bool; x1 and y1 are exclusive and inside the image."""
    return dense_crop(*intervals(runs(counts, size_hw)), size_hw[0], crop_xyxy)


def dense_crop(starts: Ints, ends: Ints, height: int, crop_xyxy: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """The part inside a crop, (y1 - y0, x1 - x0) bool, of a mask whose runs of 1 in an image of `height` are these.

    Only where the mask begins and ends down a column is marked; eight columns at a time are filled from mark to mark.
    """
    x0, y0, x1, y1 = crop_xyxy
    first, last = np.searchsorted(ends, x0 * height, "right"), np.searchsorted(starts, x1 * height, "left")
    starts, ends = within_columns(starts[first:last], ends[first:last], height)
    columns = starts // height
    offsets = columns * height + y0
    tops, bottoms = np.maximum(starts - offsets, 0), np.minimum(ends - offsets, y1 - y0)
    seen = (tops < bottoms) & (columns >= x0) & (columns < x1)
    columns, tops, bottoms = columns[seen] - x0, tops[seen], bottoms[seen]
    width = -(-(x1 - x0) // 8) * 8
    marks = np.zeros((y1 - y0 + 1, width), np.uint8)
    marks[tops, columns] = 1
    marks[bottoms, columns] ^= 1
    eights = marks[:-1].view(np.uint64)
    np.bitwise_xor.accumulate(eights, axis=0, out=eights)
    return np.ascontiguousarray(marks.view(np.bool_)[:-1, : x1 - x0])


def tight_crops(found: Runs, boxes_xywh: Ints, height: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Each of N masks cut to its box, (h, w) bool, as `dense_crop` cuts it; (N, 4) boxes leave no pixel of one out.

    Where a mask begins and ends down a column is reckoned for all masks at once.
    """
    pieces = (found.ends - 1) // height - found.starts // height + 1
    bounds = np.append(0, np.cumsum(pieces))[found.bounds]
    starts, ends = within_columns(found.starts, found.ends, height)
    strides = -(-boxes_xywh[:, 2] // 8) * 8
    left, top, stride = (np.repeat(each, np.diff(bounds)) for each in (boxes_xywh[:, 0], boxes_xywh[:, 1], strides))
    columns = starts // height
    tops = (starts - columns * height - top) * stride + columns - left
    bottoms = tops + (ends - starts) * stride
    limits = bounds.tolist()
    for first, last, (_, _, w, h), wide in zip(limits, limits[1:], boxes_xywh.tolist(), strides.tolist(), strict=False):
        marks = np.zeros((h + 1) * wide, np.uint8)
        marks[tops[first:last]] = 1
        marks[bottoms[first:last]] ^= 1
        eights = marks[:-wide].view(np.uint64).reshape(h, -1)
        np.bitwise_xor.accumulate(eights, axis=0, out=eights)
        yield np.ascontiguousarray(marks.view(np.bool_).reshape(h + 1, wide)[:-1, :w])


def within_columns(starts: Ints, ends: Ints, height: int) -> tuple[Ints, Ints]:
    """Runs of 1 cut where a column ends and the next begins."""
    first, counts = starts // height, (ends - 1) // height - starts // height + 1
    if counts.max(initial=1) == 1:
        return starts, ends
    after = np.cumsum(counts)
    columns = np.arange(after[-1]) + np.repeat(first - after + counts, counts)
    starts = np.maximum(np.repeat(starts, counts), columns * height)
    return starts, np.minimum(np.repeat(ends, counts), (columns + 1) * height)


def encode_crop(crop: npt.NDArray[np.bool_], corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> bytes:
    """The compressed code of a mask that is `crop` (h, w) bool at `corner_xy`, inside the image, and 0 elsewhere."""
    return counts_from_intervals(*crop_intervals(crop, corner_xy, size_hw), size_hw[0] * size_hw[1])


def crop_intervals(
    crop: npt.NDArray[np.bool_], corner_xy: tuple[int, int], size_hw: tuple[int, int]
) -> tuple[Ints, Ints]:
    """Starts and ends (exclusive) of the runs of 1 of such a mask, as offsets into the column-major image."""
    height, (h, w), (x, y) = size_hw[0], crop.shape, corner_xy
    padded = np.zeros((w, h + 2), np.bool_)  # a 0 on both ends of every column, so that no run crosses columns
    padded[:, 1:-1] = crop.T
    flat = padded.ravel()
    columns, rows = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), h + 2)
    edges = (columns + x) * height + rows + y
    starts, ends = edges[::2], edges[1::2]
    if len(starts) and h == height:
        apart = starts[1:] != ends[:-1]
        starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return starts, ends


def row_intervals(
    crop: npt.NDArray[np.bool_], corner_xy: tuple[int, int], size_hw: tuple[int, int]
) -> tuple[Ints, Ints]:
    """The same along the rows: offsets into the row-major image, as other tools' codes count."""
    return crop_intervals(crop.T, (corner_xy[1], corner_xy[0]), (size_hw[1], size_hw[0]))


def counts_from_row_intervals(starts: Ints, ends: Ints, size_hw: tuple[int, int]) -> bytes:
    """The compressed code of ascending runs of 1 that do not touch, offsets into the row-major image."""
    found = Runs(starts, ends, np.array([0, len(starts)]))
    y, x, h, w = boxes_and_areas(found, size_hw[1])[0][0].tolist()
    crop = dense_crop(starts, ends, size_hw[1], (y, x, y + h, x + w))
    return encode_crop(crop.T, (x, y), size_hw)


def box_crop(counts: bytes, size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """A mask cut to its box, (h, w) bool, and the corner x, y of that; (0, 0) pixels of an empty mask.

    Raises InputError if the code is damaged or does not describe an image of `size_hw` (height, width).
    """
    found = read_runs([counts], size_hw)
    boxes, _ = boxes_and_areas(found, size_hw[0])
    x, y, w, h = boxes[0].tolist()
    return dense_crop(found.starts, found.ends, size_hw[0], (x, y, x + w, y + h)), (x, y)


def boxes_and_areas(found: Runs, height: int) -> tuple[Ints, Ints]:
    """Tight XYWH boxes (N, 4) (w = xmax - xmin + 1) and areas in pixels (N,); zeros for an empty mask."""
    boxes, areas = np.zeros((len(found), 4), np.int64), np.zeros(len(found), np.int64)
    some = np.flatnonzero(np.diff(found.bounds))
    if len(some) == 0:
        return boxes, areas
    first, last = found.bounds[some], found.bounds[some + 1] - 1
    areas[some] = np.add.reduceat(found.ends - found.starts, first)
    columns, final = found.starts // height, (found.ends - 1) // height
    tops, bottoms = found.starts - columns * height, found.ends - 1 - final * height
    across = columns != final  # a run that crosses columns touches the bottom of one and the top of the next
    tops[across], bottoms[across] = 0, height - 1
    x, y = columns[first], np.minimum.reduceat(tops, first)
    boxes[some] = np.column_stack([x, y, final[last] - x + 1, np.maximum.reduceat(bottoms, first) - y + 1])
    return boxes, areas


def scaled_crop_xyxy(box_xywh: Floats, scale: float, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The published crop around a source box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive, inside the image.

    The corners (x, y, x + w, y + h) are taken as inclusive pixels, each side grows by half of (scale - 1) of its
    length, is cut to an integer and clipped. At least one pixel remains.
    """
    x, y, w, h = box_xywh.tolist()
    grow_x, grow_y = (w + 1) * (scale - 1) * 0.5, (h + 1) * (scale - 1) * 0.5
    bottom, right = size_hw[0] - 1, size_hw[1] - 1
    x0, y0 = min(max(int(x - grow_x), 0), right), min(max(int(y - grow_y), 0), bottom)
    x1, y1 = min(max(int(x + w + grow_x), 0), right), min(max(int(y + h + grow_y), 0), bottom)
    return x0, y0, x1 + 1, y1 + 1


def _turned(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """(W, H) of a (H, W) map; by OpenCV, where it knows the numbers, in a fifth of numpy's time."""
    if ids.dtype not in (np.uint8, np.uint16, np.int32) or not ids.size:
        return ids.T
    import cv2

    turned: npt.NDArray[np.integer] = cv2.transpose(ids)
    return turned


def class_runs(ids: npt.NDArray[np.integer]) -> tuple[Ints, Ints, npt.NDArray[np.integer]]:
    """Starts, ends (exclusive) and class of the runs of equal class in a (H, W) map, column-major.

    Some columns at a time, so that their room is used anew.
    """
    height, starts, classes = ids.shape[0], [np.zeros(1, np.int64)], [ids[:1, 0]]
    for left in range(0, ids.shape[1], COLUMNS_AT_A_TIME):
        before = min(left, 1)  # the last pixel of the column before is compared, too
        flat = _turned(ids[:, left - before : left + COLUMNS_AT_A_TIME]).ravel()[before * (height - 1) :]
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        classes.append(flat[1:][edges])
        starts.append(edges + (left * height + 1 - before))
    found = np.concatenate(starts)
    return found, np.append(found[1:], ids.size), np.concatenate(classes)


def class_rles(ids: npt.NDArray[np.integer], ignore_id: int) -> Iterator[tuple[int, bytes]]:
    """Each class of a (H, W) map with its mask's compressed code, ascending; ignored pixels are left out."""
    starts, ends, classes = class_runs(ids)
    for class_id in np.unique(classes):
        if class_id != ignore_id:
            chosen = classes == class_id
            yield int(class_id), counts_from_intervals(starts[chosen], ends[chosen], ids.size)


def class_map(
    rles: Iterable[tuple[int, bytes]], size_hw: tuple[int, int], ignore_id: int = 255
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The (H, W) map that `class_rles` was given: uint8 where `ignore_id` is 255, else uint16.

    Pixels in no code get `ignore_id`. Raises InputError if a code is damaged or of another size, or if two classes
    claim the same pixel.
    """
    pieces = [(*intervals(runs(counts, size_hw)), class_id) for class_id, counts in rles]
    none = np.zeros(0, np.int64)
    starts = np.concatenate([none, *(piece[0] for piece in pieces)])
    ends = np.concatenate([none, *(piece[1] for piece in pieces)])
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    if np.any(starts[1:] < ends[:-1]):
        raise InputError("two classes claim the same pixel; the class map's codes must not overlap")
    bounds = np.empty(2 * len(starts) + 2, np.int64)
    bounds[0], bounds[-1] = 0, size_hw[0] * size_hw[1]
    bounds[1:-1:2], bounds[2:-1:2] = starts, ends
    values = np.full(2 * len(starts) + 1, ignore_id, np.uint8 if ignore_id == 255 else np.uint16)
    values[1::2] = np.repeat([piece[2] for piece in pieces], [len(piece[0]) for piece in pieces])[order]
    return np.ascontiguousarray(np.repeat(values, np.diff(bounds)).reshape(size_hw[1], size_hw[0]).T)
