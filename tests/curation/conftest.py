"""The small datasets of the wing below."""

from tests.labels.conftest import make_dataset, name_masks, segmenters

__all__ = ["make_dataset", "name_masks", "segmenters"]
