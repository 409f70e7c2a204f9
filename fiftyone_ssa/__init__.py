"""Names for masks: Semantic Segment Anything for FiftyOne.

The functions below are imported when first used, so that importing the package loads none of the libraries behind it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fiftyone_ssa.curation.decisions import relabel as relabel
    from fiftyone_ssa.curation.decisions import rename_classes as rename_classes
    from fiftyone_ssa.curation.decisions import review as review
    from fiftyone_ssa.curation.decisions import undo as undo
    from fiftyone_ssa.curation.ontology_journal import undo_ontology as undo_ontology
    from fiftyone_ssa.exports.bringing_back import import_corrections as import_corrections
    from fiftyone_ssa.exports.coco import export_coco as export_coco
    from fiftyone_ssa.exports.exporting import export as export
    from fiftyone_ssa.exports.fiftyone_types import dataset_type as dataset_type
    from fiftyone_ssa.exports.importing import import_labels as import_labels
    from fiftyone_ssa.folders.annotate import annotate_files as annotate_files
    from fiftyone_ssa.labels.annotate import annotate as annotate
    from fiftyone_ssa.labels.appearance import prepare_app as prepare_app
    from fiftyone_ssa.labels.calibration import calibrate as calibrate
    from fiftyone_ssa.labels.clean import clean as clean
    from fiftyone_ssa.labels.embed import embed as embed
    from fiftyone_ssa.labels.evaluation import evaluate as evaluate
    from fiftyone_ssa.labels.image_loader import load_images as load_images
    from fiftyone_ssa.labels.levels import levels as levels
    from fiftyone_ssa.labels.likeness import find_like as find_like
    from fiftyone_ssa.labels.loaders import load_ade20k as load_ade20k
    from fiftyone_ssa.labels.loaders import load_cityscapes as load_cityscapes
    from fiftyone_ssa.labels.loaders import load_foggy_driving as load_foggy_driving
    from fiftyone_ssa.labels.loaders import load_sa1b as load_sa1b
    from fiftyone_ssa.labels.panoptic import panoptic as panoptic
    from fiftyone_ssa.labels.repaint import repaint as repaint
    from fiftyone_ssa.layouts.ontology import Ontology as Ontology
    from fiftyone_ssa.naming.pipeline import build_pipeline as build_pipeline
    from fiftyone_ssa.presets import load_preset as load_preset
    from fiftyone_ssa.scale.counting import stats as stats
    from fiftyone_ssa.scale.loading import select as select
    from fiftyone_ssa.scale.returning import return_corrections as return_corrections

__version__ = "0.1.0"
_HOMES = {
    "Ontology": "layouts.ontology",
    "annotate": "labels.annotate",
    "annotate_files": "folders.annotate",
    "build_pipeline": "naming.pipeline",
    "calibrate": "labels.calibration",
    "clean": "labels.clean",
    "dataset_type": "exports.fiftyone_types",
    "embed": "labels.embed",
    "evaluate": "labels.evaluation",
    "export": "exports.exporting",
    "export_coco": "exports.coco",
    "find_like": "labels.likeness",
    "import_corrections": "exports.bringing_back",
    "import_labels": "exports.importing",
    "levels": "labels.levels",
    "load_ade20k": "labels.loaders",
    "load_cityscapes": "labels.loaders",
    "load_foggy_driving": "labels.loaders",
    "load_images": "labels.image_loader",
    "load_preset": "presets",
    "load_sa1b": "labels.loaders",
    "panoptic": "labels.panoptic",
    "prepare_app": "labels.appearance",
    "relabel": "curation.decisions",
    "rename_classes": "curation.decisions",
    "repaint": "labels.repaint",
    "return_corrections": "scale.returning",
    "review": "curation.decisions",
    "select": "scale.loading",
    "stats": "scale.counting",
    "undo": "curation.decisions",
    "undo_ontology": "curation.ontology_journal",
}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
