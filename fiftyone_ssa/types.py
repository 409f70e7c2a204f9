"""What one part of the library hands to another: images, masks, class maps, votes, annotations, results.

Frozen, checked when built, picklable, and free of torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError

Image = npt.NDArray[np.uint8]
"""RGB pixels, (H, W, 3) uint8."""
ClassIds = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Class ids, (H, W) uint8 or uint16."""
Floats = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.float16]
"""Unit vectors, (N, d) float16; a row of zeros where there is none."""
Ints = npt.NDArray[np.int64]


def check_image(image: npt.NDArray[Any]) -> Image:
    """Return `image` if it is (H, W, 3) uint8 with at least one pixel; raise InputError otherwise."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"an image must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}; convert it first")
    return image


@dataclass(frozen=True)
class Column:
    """What a MaskSet's column holds of each mask: `width` numbers of `dtype`, or any object where that is None."""

    width: int = 1
    dtype: type[np.generic] | None = None

    def shape(self, count: int) -> tuple[int, ...]:
        """Of the column of `count` masks."""
        return (count,) if self.width == 1 else (count, self.width)

    def empty(self) -> Any:
        """The column of no masks."""
        return () if self.dtype is None else np.zeros(self.shape(0), self.dtype)

    def floats(self, values: npt.ArrayLike | None, count: int) -> Floats:
        """The values of `count` masks as float64; NaN where there are none."""
        if values is None:
            return np.full(self.shape(count), np.nan)
        array = np.asarray(values, np.float64)
        return array.reshape(self.shape(count)) if count == 0 else array


def _column(dtype: type[np.generic] | None = None, width: int = 1) -> dict[str, Column]:
    return {"column": Column(width, dtype)}


@dataclass(frozen=True, eq=False)
class MaskSet:
    """N masks of one image as COCO run-length codes, with what their source said of each.

    Build it with `masks.mask_set`, which computes the boxes and areas; every column filters and merges with the others.
    Unknown numbers are NaN.
    """

    size_hw: tuple[int, int]
    """Height and width of the image, in pixels."""
    rles: tuple[bytes, ...] = field(metadata=_column())
    """N compressed COCO counts, column-major, as `pycocotools.mask.encode` gives them."""
    boxes_xywh: Ints = field(metadata=_column(np.int64, width=4))
    """(N, 4) tight boxes in pixels, from the codes; w = xmax - xmin + 1; zeros where the mask is empty."""
    areas_px: Ints = field(metadata=_column(np.int64))
    """(N,) pixels in each mask, from the codes."""
    source_boxes_xywh: Floats = field(metadata=_column(np.float64, width=4))
    """(N, 4) boxes as the source states them. SAM and SA-1B leave the last pixel out: w = xmax - xmin."""
    predicted_iou: Floats = field(metadata=_column(np.float64))
    """(N,) in [0, 1], or NaN."""
    stability_score: Floats = field(metadata=_column(np.float64))
    """(N,) in [0, 1], or NaN."""
    points_xy: Floats = field(metadata=_column(np.float64, width=2))
    """(N, 2) the point each mask was prompted with, pixels, or NaN."""
    crop_boxes_xywh: Floats = field(metadata=_column(np.float64, width=4))
    """(N, 4) the crop each mask was found in, pixels, or NaN."""
    source_ids: tuple[Any, ...] = field(metadata=_column())
    """N ids as the source gives them (SA-1B's `id`, a FiftyOne label id), or None."""
    source_names: tuple[str | None, ...] = field(metadata=_column())
    """N names as the source gives them (an instance or panoptic segmenter, a field's labels), or None."""
    source_scores: Floats = field(metadata=_column(np.float64))
    """(N,) how sure the source is of its name, in [0, 1], or NaN."""
    records: tuple[Mapping[str, Any], ...] = field(metadata=_column())
    """N annotations as the source holds them, without `segmentation`, to be written back as they came; or empty."""

    def __post_init__(self) -> None:
        for name, kind in COLUMNS.items():
            column = getattr(self, name)
            expected = kind.shape(len(self.rles))
            shape = (len(column),) if isinstance(column, tuple) else column.shape
            if shape != expected:
                raise InputError(f"MaskSet.{name} must be {expected} for {len(self.rles)} masks, got {shape}")

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> MaskSet:
        """No masks, for an image of `size_hw`."""
        return cls(size_hw=size_hw, **{name: kind.empty() for name, kind in COLUMNS.items()})

    @classmethod
    def merge(cls, sets: Iterable[MaskSet]) -> MaskSet:
        """All masks of several sets of one image, in order. Raises InputError if sizes differ or there is no set."""
        sets = list(sets)
        if len({s.size_hw for s in sets}) != 1:
            raise InputError(f"only mask sets of one image size can be merged, got sizes {[s.size_hw for s in sets]}")
        columns: dict[str, Any] = {
            name: sum((getattr(s, name) for s in sets), ())
            if isinstance(getattr(sets[0], name), tuple)
            else np.concatenate([getattr(s, name) for s in sets])
            for name in COLUMNS
        }
        return cls(size_hw=sets[0].size_hw, **columns)

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: slice | npt.ArrayLike) -> MaskSet:
        """The masks that a slice, an index array or a boolean array selects, in its order."""
        rows = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(rows, np.ndarray) and rows.size == 0:
            rows = rows.astype(np.int64)  # numpy takes an empty list for floats
        chosen = np.arange(len(self))[rows]
        if chosen.ndim != 1:
            raise InputError("index a MaskSet with a slice, an index array or a boolean array; got one number")
        columns: dict[str, Any] = {
            name: tuple(column[i] for i in chosen) if isinstance(column, tuple) else column[chosen]
            for name, column in ((name, getattr(self, name)) for name in COLUMNS)
        }
        return MaskSet(size_hw=self.size_hw, **columns)

    def order_by_area(self) -> Ints:
        """(N,) indices by descending area; equal areas keep their order (the published order of painting)."""
        return np.argsort(-self.areas_px, kind="stable")


COLUMNS: Mapping[str, Column] = {f.name: f.metadata["column"] for f in fields(MaskSet) if "column" in f.metadata}
"""A MaskSet's columns by name."""


def class_ids(values: npt.NDArray[Any], class_count: int) -> ClassIds:
    """Integer ids below `class_count` in the dtype that holds them and the ignore id: uint8, or uint16 above 255."""
    return values.astype(np.uint8) if class_count <= 255 else values.astype(np.uint16)


def one_class_a_name(names: Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    """The different names of a list in its order, and (N,) the place among them of each of its own."""
    places: dict[str, int] = {}
    ids = [places.setdefault(name, len(places)) for name in names]
    return tuple(places), np.array(ids, np.int64)


@dataclass(frozen=True, eq=False)
class SemanticMap:
    """One class per pixel: `ids` (H, W) uint8 or uint16, class i = `names[i]`, the dtype's highest value = ignored.

    uint8 holds up to 255 classes with 255 = ignore; more classes take uint16 with 65535 = ignore.
    """

    ids: ClassIds
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.dtype not in (np.uint8, np.uint16):
            raise InputError(f"class ids must be (H, W) uint8 or uint16, got {self.ids.shape} {self.ids.dtype}")
        if len(self.names) > self.ignore_id:
            raise InputError(f"{len(self.names)} classes do not fit {self.ids.dtype}; use uint16 for more than 255")
        highest = int((self.ids + 1).max(initial=1)) - 1  # one more than the ignored id is 0
        if highest >= len(self.names):
            raise InputError(
                f"class id {highest} is unknown: the map has {len(self.names)} classes (0..{len(self.names) - 1}) "
                f"and {self.ignore_id} for ignored pixels; remap its ids or give it all its names"
            )

    @property
    def ignore_id(self) -> int:
        """The id of pixels that have no class: 255, or 65535 in a uint16 map."""
        return int(np.iinfo(self.ids.dtype).max)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ids.shape[0], self.ids.shape[1]


@dataclass(frozen=True, eq=False)
class Votes:
    """What a class map says of each of N masks; -1 and zeros where a mask is empty or meets ignored pixels only."""

    class_ids: Ints
    """(N,) the winning class, or -1."""
    shares: Floats
    """(N,) the winner's share of the mask's non-ignored pixels (or of its mean probability), in [0, 1]."""
    margins: Floats
    """(N,) the winner's share less the second's, in [0, 1]."""
    entropies: Floats
    """(N,) entropy of the shares in nats; 0 = unanimous."""
    colourless: Floats | None = None
    """(N,) the winner's share where the segmenter sees the image without its colours, in [0, 1]; NaN where there is
    no winner, None where it was not asked."""
    colourless_classes: tuple[Proposals, ...] = ()
    """N masks' classes of the largest shares there, best first; empty where it was not asked."""

    def __len__(self) -> int:
        return len(self.class_ids)


@dataclass(frozen=True)
class Proposals:
    """Candidate names of one mask with their scores, best first; empty where nothing could be named."""

    names: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.scores):
            raise InputError(f"{len(self.names)} proposals need as many scores, got {len(self.scores)}")


@dataclass(frozen=True, eq=False)
class Annotation:
    """What a pipeline says of one image: a name, a confidence and proposals for each of N masks, and the class maps."""

    masks: MaskSet
    labels: tuple[str | None, ...]
    """N class names; None where a mask is empty or meets ignored pixels only."""
    confidences: Floats
    """(N,) in [0, 1]: how sure each name is, at most what its parts allow (docs/models.md), or as calibrated."""
    proposals: tuple[Proposals, ...]
    votes: Votes | None = None
    """The closed-set votes (SSA only)."""
    semantic: SemanticMap | None = None
    """The refined class map (SSA only)."""
    branch: SemanticMap | None = None
    """The segmenter's own map, on request."""
    captions: tuple[str, ...] = ()
    """N captions (engine only)."""
    label_sources: tuple[str | None, ...] = ()
    """N names of what proposed the winner: coco, ade20k, caption, vocabulary ... (engine only)."""
    similarities: Floats | None = None
    """(N,) the class filter's cosine of each crop and its name; NaN where there is none (engine only)."""
    embeddings: Embeddings | None = None
    """(N, d) what the class filter saw in each mask's crop, on request; zeros where a mask is empty (engine only)."""

    def __post_init__(self) -> None:
        count = len(self.masks)
        for name in ("labels", "confidences", "proposals"):
            if len(getattr(self, name)) != count:
                raise InputError(f"Annotation.{name} must hold {count} entries, got {len(getattr(self, name))}")
        for name in ("captions", "label_sources"):
            if len(getattr(self, name)) not in (0, count):
                raise InputError(f"Annotation.{name} must hold 0 or {count} entries, got {len(getattr(self, name))}")
        if self.similarities is not None and len(self.similarities) != count:
            raise InputError(f"Annotation.similarities must hold {count} entries, got {len(self.similarities)}")
        if self.embeddings is not None and len(self.embeddings) != count:
            raise InputError(f"Annotation.embeddings must hold {count} rows, got {len(self.embeddings)}")

    @property
    def unlabelled(self) -> int:
        """How many masks have no name."""
        return sum(label is None for label in self.labels)


@dataclass(frozen=True, eq=False)
class Inputs:
    """One image ready for a pipeline, with what is already known of it."""

    image: Image
    masks: MaskSet | None = None
    """Existing masks; None where SAM is to make them."""
    semantic: SemanticMap | None = None
    """An existing class map; None where the segmenter is to make it."""
    bad_masks: tuple[str, ...] = ()
    """Of existing masks that cannot be read, and are not among `masks`: where each is and what is wrong with it."""

    def __post_init__(self) -> None:
        check_image(self.image)
        size_hw = self.image.shape[:2]
        for what, value in (("masks", self.masks), ("class map", self.semantic)):
            if value is not None and value.size_hw != size_hw:
                raise InputError(
                    f"the size of the {what} is {value.size_hw} (height, width) but the image is {size_hw}; "
                    "they must describe the same pixels"
                )


@dataclass(frozen=True)
class Result:
    """One image's outcome: an annotation, or the error that this image met."""

    id: str
    annotation: Annotation | None = None
    error: str | None = None
    inputs: Inputs | None = field(default=None, repr=False)
    """The decoded image and masks, for whoever draws them."""
    bad_masks: tuple[str, ...] = ()
    """As `Inputs` has them, where there is an annotation."""
