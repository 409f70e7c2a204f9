"""Annotations as FiftyOne labels and back: what the database and the folders beside it hold.

Conventions, which everything on the FiftyOne side relies on:

- `<label_field>`: Detections, one per mask, in the mask set's order. A mask without a name has `label` None, an empty
  mask a 1x1 False crop at the corner. `bounding_box` is `[(x + 1e-4) / W, (y + 1e-4) / H, w / W, h / H]` of the tight
  pixel box, so that flooring gives the pixels back; `mask` is the mask cut to that box, bool, pixel for pixel. W and H
  are those of the image as `files.read_image` reads it, upright by its EXIF orientation, which is how the App shows it.
- Attributes (`ATTRIBUTES`) are declared on the dataset by `declare_detections`, so that the sidebar filters by them;
  what is unknown is left out. Boxes and points are in pixels, unlike `bounding_box`.
- `<label_field>.embeddings_path`, where they are kept: the file of what the class filter saw (`labels.embeddings`).
- `<label_field>_semantic`, `<label_field>_branch`: Segmentation, a PNG (8 bits up to the value 254, 16 above), and
  `dataset.mask_targets[field] = {value: name}`: class id + 1, where the field holds no maps of other classes; a value
  once given keeps its name. 0 is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bson
import fiftyone as fo
import numpy as np
import numpy.typing as npt
from bson import ObjectId
from fiftyone.core.odm import create_field

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.files.packing import deflate
from fiftyone_ssa.labels.review import mask_digest
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections as mask_set_from_detections
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Annotation, Ints, MaskSet, SemanticMap, class_ids, one_class_a_name

Document = dict[str, Any]
"""A label as MongoDB holds it; `fo.Detections.from_dict` makes the label of it."""

CORNER_SHIFT = 1e-4
"""Pixels added to a box's corner: without it, 13 % of all boxes come back one pixel off after flooring."""
MAX_INLINE_BYTES = 4_000_000
"""Masks of one image that take more go to PNG files: MongoDB's limit is 16 MB for a whole sample."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024 - 16 * 1024
"""MongoDB's limit for a document, less what a sample holds besides."""

ATTRIBUTES: Mapping[str, tuple[type[Any], type[Any] | None]] = {
    "class_name": (fo.StringField, None),
    "review": (fo.StringField, None),
    "reviewed_at": (fo.DateTimeField, None),
    "reviewed_by": (fo.StringField, None),
    "imported_id": (fo.StringField, None),
    "mask_digest": (fo.StringField, None),
    "class_proposals": (fo.ListField, fo.StringField),
    "proposal_scores": (fo.ListField, fo.FloatField),
    "vote_share": (fo.FloatField, None),
    "vote_margin": (fo.FloatField, None),
    "vote_entropy": (fo.FloatField, None),
    "colourless_share": (fo.FloatField, None),
    "colourless_classes": (fo.ListField, fo.StringField),
    "colourless_scores": (fo.ListField, fo.FloatField),
    "caption": (fo.StringField, None),
    "label_source": (fo.StringField, None),
    "name_similarity": (fo.FloatField, None),
    "predicted_iou": (fo.FloatField, None),
    "stability_score": (fo.FloatField, None),
    "area": (fo.IntField, None),
    "sa1b_id": (fo.IntField, None),
    "point": (fo.ListField, fo.FloatField),
    "crop_box": (fo.ListField, fo.FloatField),
    "source_box": (fo.ListField, fo.FloatField),
    "source_name": (fo.StringField, None),
    "source_score": (fo.FloatField, None),
    "level": (fo.StringField, None),
    "parent": (fo.StringField, None),
    "duplicate_of": (fo.StringField, None),
    "is_thing": (fo.BooleanField, None),
    "members": (fo.ListField, fo.StringField),
}
"""Attribute of a detection to its field type and subfield: `area` is in pixels, from the mask; `source_box` (XYWH) is
the box as the mask's source states it, `source_name` and `source_score` what it called the mask, `point` its prompt,
`crop_box` (XYWH) the crop that it was found in. `name_similarity` is the class filter's cosine of crop and name;
`colourless_share` is the name's share where the segmenter sees no colours, `colourless_classes` and `colourless_scores`
what has the largest there;
`level`, `parent` and `duplicate_of` say where a mask stands among the others (`labels.levels`).
`reviewed_by` says who reviewed it in another tool, `imported_id` how that tool calls a mask drawn there;
`class_name` is what SSA said, `mask_digest` what the mask was when it did: `labels.review` says what they are for."""
MASK_ATTRIBUTES = ("predicted_iou", "stability_score", "area", "sa1b_id", "point", "crop_box", "source_box")
SOURCE_NAMES = ("source_name", "source_score")
"""Declared where masks come with names."""
CHECK_ATTRIBUTES = ("colourless_share", "colourless_classes", "colourless_scores")
"""Declared where SSA's segmenter looks at images without colours, too."""
LEVEL_ATTRIBUTES = ("level", "parent", "duplicate_of")
"""Declared where masks are sorted into wholes and parts."""
NAMED = (
    *("label", "class_name", "confidence", "class_proposals", "proposal_scores", "caption", "label_source"),
    "name_similarity",
    *("vote_share", "vote_margin", "vote_entropy", *CHECK_ATTRIBUTES),
)
"""All that a run says of a mask, apart from what the mask itself is."""
NAME_ATTRIBUTES = ("class_name", "review", "reviewed_at", "mask_digest", "class_proposals", "proposal_scores")
SSA_ATTRIBUTES = (*NAME_ATTRIBUTES, "vote_share", "vote_margin", "vote_entropy", *MASK_ATTRIBUTES)
ENGINE_ATTRIBUTES = (*NAME_ATTRIBUTES, "caption", "label_source", "name_similarity", *MASK_ATTRIBUTES)


def attributes_of(preset: Preset) -> tuple[str, ...]:
    """What runs of a preset say of each mask."""
    if preset.pipeline != "ssa":
        return ENGINE_ATTRIBUTES
    return (*SSA_ATTRIBUTES, *CHECK_ATTRIBUTES) if preset.is_checked else SSA_ATTRIBUTES


class UnstorableError(InputError):
    """The labels of one image are such as no document of the database holds; other images are not concerned."""


def declare_fields(dataset: fo.Dataset, kinds: Mapping[str, type[Any]]) -> None:
    """Declare those of these paths that are not there, with their label or field types.

    All at once: `add_sample_field` reads and writes all that is known of the dataset for each.
    """
    schema = {
        path: create_field(path.rsplit(".", 1)[-1], fo.EmbeddedDocumentField, embedded_doc_type=kind)
        if issubclass(kind, fo.Label)
        else create_field(path.rsplit(".", 1)[-1], kind)
        for path, kind in kinds.items()
        if dataset.get_field(path) is None
    }
    if schema:
        dataset._merge_sample_field_schema(schema)


def declare_detections(dataset: fo.Dataset, field: str, attributes: Sequence[str], texts: Sequence[str] = ()) -> None:
    """Declare a Detections field and `attributes` of its detections, and `texts`, paths of attributes of other fields.

    Raises InputError if `field` or an attribute exists with another type.
    """
    existing = dataset.get_field(field)
    if existing is None:
        declare_fields(dataset, {field: fo.Detections})
    elif getattr(existing, "document_type", None) is not fo.Detections:
        raise InputError(f"field {field!r} exists and is not Detections but {existing}; choose another label_field")
    schema = {path: create_field(path.rsplit(".", 1)[-1], fo.StringField) for path in texts}
    for name in attributes:
        kind, subfield = ATTRIBUTES[name]
        schema[f"{field}.detections.{name}"] = create_field(name, kind, subfield=subfield)
    try:
        dataset._merge_sample_field_schema(schema)
    except ValueError as error:
        raise InputError(
            f"an attribute of {field!r} exists with another type; choose another label_field ({error})"
        ) from error


def annotation_document(annotation: Annotation, mask_folder: Path, inline_bytes: int | None = None) -> Document:
    """The Detections of an annotation; `mask_folder` takes the masks where they are too large for the database."""
    columns = _name_columns(annotation)
    return masks_document(annotation.masks, mask_folder, columns, digests=True, inline_bytes=inline_bytes)


def name_documents(annotation: Annotation) -> list[Document]:
    """What an annotation says of each of its masks: attributes to lay over a detection that has them."""
    names: list[Document] = [{} for _ in range(len(annotation.masks))]
    _fill(names, _name_columns(annotation))
    return names


def _name_columns(annotation: Annotation) -> dict[str, Sequence[Any]]:
    votes = annotation.votes
    columns: dict[str, Sequence[Any]] = {
        "label": annotation.labels,
        "class_name": annotation.labels,
        "confidence": annotation.confidences.tolist(),
        "class_proposals": [list(proposals.names) for proposals in annotation.proposals],
        "proposal_scores": [list(proposals.scores) for proposals in annotation.proposals],
        "caption": annotation.captions,
        "label_source": annotation.label_sources,
        "source_name": annotation.masks.source_names,
        "source_score": annotation.masks.source_scores.tolist(),
    }
    if annotation.similarities is not None:
        columns["name_similarity"] = annotation.similarities.tolist()
    if votes is not None:
        columns["vote_share"] = votes.shares.tolist()
        columns["vote_margin"] = votes.margins.tolist()
        columns["vote_entropy"] = votes.entropies.tolist()
        if votes.colourless is not None:
            columns["colourless_share"] = votes.colourless.tolist()
        columns["colourless_classes"] = [list(classes.names) for classes in votes.colourless_classes]
        columns["colourless_scores"] = [list(classes.scores) for classes in votes.colourless_classes]
    return columns


def _fill(detections: Sequence[Document], columns: Mapping[str, Sequence[Any]]) -> None:
    """Lay columns of N values or none over N detections; what is unknown is left out."""
    for name, values in columns.items():
        for detection, value in zip(detections, values, strict=False):
            first = value[0] if type(value) is list and value else value
            if first is not None and first == first:
                detection[name] = value


def masks_document(
    masks: MaskSet,
    mask_folder: Path,
    columns: Mapping[str, Sequence[Any]] | None = None,
    *,
    digests: bool = False,
    inline_bytes: int | None = None,
) -> Document:
    """The Detections of a mask set, with further columns of N values or none; None and NaN are left out.

    `digests` adds what tells later whether a mask was changed. Masks that take more than `inline_bytes` (by default
    `MAX_INLINE_BYTES`) all go to files. Raises UnstorableError, before any file is written,
    if no document of the database holds them, InputError if a file cannot be written.
    """
    boxes = np.where(masks.areas_px[:, None] > 0, masks.boxes_xywh, (0, 0, 1, 1))
    packed, found = [], []
    for (crop, box), area in zip(_crops(masks, boxes), masks.areas_px.tolist(), strict=True):
        packed.append(pack(crop))
        if digests:
            found.append(mask_digest(crop, (box[0], box[1]), masks.size_hw, tight=area > 0))
    every = {
        **(columns or {}),
        "mask_digest": found,
        "predicted_iou": masks.predicted_iou.tolist(),
        "stability_score": masks.stability_score.tolist(),
        "area": masks.areas_px.tolist(),
        "sa1b_id": [value if type(value) is int and abs(value) < 2**63 else None for value in masks.source_ids],
        "point": masks.points_xy.tolist(),
        "crop_box": masks.crop_boxes_xywh.tolist(),
        "source_box": masks.source_boxes_xywh.tolist(),
    }
    height, width = masks.size_hw
    relative = np.add(boxes, (CORNER_SHIFT, CORNER_SHIFT, 0, 0)) / (width, height, width, height)
    inline = sum(map(len, packed)) <= (MAX_INLINE_BYTES if inline_bytes is None else inline_bytes)
    detections: list[Document] = [
        {"_id": ObjectId(), "_cls": "Detection", "attributes": {}, "tags": [], "bounding_box": box}
        | ({"mask": mask} if inline else {"mask_path": str(mask_folder / f"{index}.png")})
        for index, (box, mask) in enumerate(zip(relative.tolist(), packed, strict=True))
    ]
    _fill(detections, every)
    document = {"_cls": "Detections", "detections": detections}
    check_size(document, len(detections))
    if not inline:
        for detection, (crop, _) in zip(detections, _crops(masks, boxes), strict=True):
            save_png(crop, Path(detection["mask_path"]))
    return document


def check_size(document: Document, masks: int) -> None:
    """Raise UnstorableError if a label is larger than a document of the database may be, or holds what none can."""
    try:
        size = len(bson.encode(document))
    except (bson.errors.BSONError, OverflowError, ValueError) as error:
        raise UnstorableError(f"the database refuses its labels: {error}") from error
    if size > MAX_DOCUMENT_BYTES:
        raise UnstorableError(
            f"its {masks} masks take {size / 1e6:.0f} MB, and the database holds 16 MB a sample; "
            "leave small or doubled masks out"
        )


def _crops(masks: MaskSet, boxes_xywh: Ints) -> Iterator[tuple[npt.NDArray[np.bool_], Sequence[int]]]:
    """Each mask cut to its box, with the box."""
    return zip(rle.tight_crops(runs_of(masks), boxes_xywh, masks.size_hw[0]), boxes_xywh.tolist(), strict=True)


def pack(crop: npt.NDArray[np.bool_]) -> bytes:
    """A (h, w) bool array as FiftyOne's ArrayField holds it: zlib over what `numpy.save` writes."""
    text = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {crop.shape}, }}"
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little") + f"{text:<117}\n".encode()
    return deflate([header, np.ascontiguousarray(crop)])


def mask_targets(names: Sequence[str]) -> dict[int, str]:
    """FiftyOne's mask targets for class names in id order: pixel value i + 1 is class i; 0, unnamed, is ignored."""
    return {index + 1: name for index, name in enumerate(names)}


def extended_targets(targets: Mapping[int, str], names: Sequence[str]) -> tuple[dict[int, str], list[int]]:
    """Mask targets that hold `names`, each under the value that it has there or a new one, and the names' values.

    A value keeps its name for ever, so that no map that was written with it reads wrong.
    """
    extended, values = dict(sorted(targets.items())), []
    free: dict[str, list[int]] = {}
    for value, name in extended.items():
        if value > 0:
            free.setdefault(name, []).append(value)
    for name in names:  # a list may hold a name twice: each has a value of its own
        if not free.get(name):
            free[name] = [max(0, *extended) + 1 if extended else 1]
            extended[free[name][0]] = name
        values.append(free[name].pop(0))
    return extended, values


def segmentation_document(semantic: SemanticMap, path: Path, values: Sequence[int] | None = None) -> Document:
    """Write a class map as PNG to `path`, whole or not at all, and return its Segmentation.

    `values` are the pixel values of its classes, by default ids + 1; 0 is ignored.
    """
    table = np.zeros(semantic.ignore_id + 1, np.uint16)
    table[: len(semantic.names)] = range(1, len(semantic.names) + 1) if values is None else values
    pixels = table.astype(np.uint8)[semantic.ids] if table.max(initial=0) <= 254 else table[semantic.ids]
    save_png(pixels, path)
    return {"_id": ObjectId(), "_cls": "Segmentation", "tags": [], "mask_path": str(path)}


def semantic_map(values: npt.NDArray[Any], targets: Mapping[int, str]) -> SemanticMap:
    """A Segmentation's (H, W) pixel values as a class map whose classes are the mask targets, by ascending value.

    Values of one name are one class: their pixels vote together. Values 0 and 255 are ignored unless the targets
    name them. Raises InputError for RGB masks and unknown values.
    """
    if values.ndim != 2 or values.dtype.kind not in "iub":
        raise InputError(
            f"a class map must be (H, W) whole numbers, got {values.shape} {values.dtype}; convert it first"
        )
    if not targets or not all(isinstance(value, int) for value in targets):
        raise InputError("the field has no mask targets {value: name}; set dataset.mask_targets[field] and save")
    known = sorted(targets)
    present = np.unique(values)
    unknown = sorted(set(present.tolist()) - set(known) - {0, 255})
    if unknown:
        raise InputError(f"pixel values {unknown[:5]} have no name in the mask targets; they hold {known[:5]} ...")
    names, classes = one_class_a_name([targets[value] for value in known])
    ids = class_ids(classes, len(names))
    lookup = np.full(int(max(present.max(initial=0), known[-1])) + 1, np.iinfo(ids.dtype).max, ids.dtype)
    lookup[known] = ids
    return SemanticMap(ids=lookup[values], names=names)
