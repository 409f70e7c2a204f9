"""Names for masks: Semantic Segment Anything for FiftyOne.

The functions below are imported when first used, so that importing the package loads none of the libraries behind it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fiftyone_ssa.annotate_folder import annotate_files as annotate_files
    from fiftyone_ssa.coco import export_coco as export_coco
    from fiftyone_ssa.dataset import annotate as annotate
    from fiftyone_ssa.dataset_types import load_ade20k as load_ade20k
    from fiftyone_ssa.dataset_types import load_cityscapes as load_cityscapes
    from fiftyone_ssa.dataset_types import load_foggy_driving as load_foggy_driving
    from fiftyone_ssa.dataset_types import load_sa1b as load_sa1b
    from fiftyone_ssa.evaluation import evaluate as evaluate
    from fiftyone_ssa.pipeline import build_pipeline as build_pipeline
    from fiftyone_ssa.presets import load_preset as load_preset

__version__ = "0.1.0"
_HOMES = {
    "annotate": "dataset",
    "annotate_files": "annotate_folder",
    "build_pipeline": "pipeline",
    "evaluate": "evaluation",
    "export_coco": "coco",
    "load_ade20k": "dataset_types",
    "load_cityscapes": "dataset_types",
    "load_foggy_driving": "dataset_types",
    "load_preset": "presets",
    "load_sa1b": "dataset_types",
}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
