"""Foggy Driving: laid out, named and labelled as Cityscapes is, some of its ground truth coarse only."""

from fiftyone_ssa.layouts.cityscapes import NAMES, class_ids, class_ids_from_label_ids, images, splits, truth

__all__ = ["NAMES", "class_ids", "class_ids_from_label_ids", "images", "splits", "truth"]
