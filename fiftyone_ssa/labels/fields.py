"""The fields that one `label_field` comes with, and whether a dataset can take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError, shown

LONGEST = 60
"""Characters of a label field: folders are named after it, of whose names file systems take 255 bytes."""


@dataclass(frozen=True)
class Fields:
    """The names of what a run writes."""

    label: str
    """Detections, one per mask."""

    @property
    def semantic(self) -> str:
        """Segmentation: the refined class map."""
        return f"{self.label}_semantic"

    @property
    def branch(self) -> str:
        """Segmentation: the segmenter's own class map."""
        return f"{self.label}_branch"

    @property
    def panoptic(self) -> str:
        """Detections: the segments of the panoptic map."""
        return f"{self.label}_panoptic"

    @property
    def panoptic_map(self) -> str:
        """Segmentation: the segments' ids as RGB pixels."""
        return f"{self.label}_panoptic_map"

    @property
    def preset(self) -> str:
        """String: the fingerprint of the settings that the labels were made with."""
        return f"{self.label}_preset"

    @property
    def inputs(self) -> str:
        """String: what the labels were made from, and by which run (`labels.stamps`)."""
        return f"{self.label}_inputs"

    @property
    def error(self) -> str:
        """String: why the last run could not do a sample."""
        return f"{self.label}_error"

    @property
    def masks_folder(self) -> str:
        """The folder of masks that are too large for the database."""
        return f"{self.label}_masks"

    @property
    def embeddings_folder(self) -> str:
        """The folder of what the class filter saw in each mask."""
        return f"{self.label}_embeddings"

    def types(self, pipeline: str, keep_branch: bool) -> dict[str, type[Any]]:
        """Each field that a run fills, with its label or field type."""
        maps = {self.semantic: fo.Segmentation} if pipeline == "ssa" else {}
        branch = {self.branch: fo.Segmentation} if keep_branch else {}
        texts = dict.fromkeys((self.preset, self.inputs, self.error), fo.StringField)
        return {self.label: fo.Detections, **maps, **branch, **texts}


def check_label_field(label_field: Any) -> Fields:
    """The fields of a `label_field`. Raises InputError unless it can name a field."""
    if not isinstance(label_field, str) or not re.fullmatch(rf"[^\W\d_]\w{{0,{LONGEST - 1}}}", label_field):
        raise InputError(
            f"label_field must be a name of at most {LONGEST} letters, digits and underscores that starts with a "
            f"letter, got {shown(label_field)}; for example 'ssa'"
        )
    return Fields(label_field)


def check_field_types(dataset: fo.Dataset, types: dict[str, type[Any]]) -> None:
    """Raise InputError if a field exists with another type than the one that is to be written."""
    for name, kind in types.items():
        found = dataset.get_field(name)
        if found is not None and not isinstance(found, kind) and getattr(found, "document_type", None) is not kind:
            raise InputError(f"field {name!r} exists and is no {kind.__name__}; choose another label_field")


def check_source_fields(dataset: fo.Dataset, fields: Fields, masks_field: Any, semantic_field: Any) -> None:
    """Raise InputError unless the fields that masks and classes are taken from are there and stay while they are."""
    for argument, name, kind in (
        ("masks_field", masks_field, fo.Detections),
        ("semantic_field", semantic_field, fo.Segmentation),
    ):
        known = sorted(dataset.get_field_schema(embedded_doc_type=kind))
        if name is not None and name not in known:
            raise InputError(
                f"{argument} must be a {kind.__name__} field of {dataset.name!r}, got {name!r}; "
                f"it has {', '.join(known) or 'none'}"
            )
    if semantic_field in (fields.semantic, fields.branch):
        raise InputError(
            f"semantic_field {semantic_field!r} would be overwritten while it is read; choose another label_field"
        )
