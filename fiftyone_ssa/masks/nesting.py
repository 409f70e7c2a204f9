"""Which masks lie inside which: parts in wholes."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from fiftyone_ssa.types import Ints, MaskSet

INSIDE = 0.8
"""A mask lies in another that holds at least this share of it."""
ROWS = 256
"""Masks that are compared with all others at once; bounds memory."""


def parents(masks: MaskSet) -> Ints:
    """(N,) for each mask the smallest larger one that holds at least 0.8 of it, or -1; of equals the first is larger.

    Masks of no pixels have no parent and are none.
    """
    order = masks.order_by_area()
    order = order[masks.areas_px[order] > 0]
    codes = [{"size": list(masks.size_hw), "counts": masks.rles[index]} for index in order]
    found = np.full(len(masks), -1)
    for start in range(0, len(order), ROWS):
        rows = codes[start : start + ROWS]
        # of crowds, "IoU" is the share of the row's mask
        shares = np.asarray(coco.iou(rows, codes[: start + len(rows)], [1] * (start + len(rows))))
        for row, share in enumerate(shares, start):
            holding = np.flatnonzero(share[:row] >= INSIDE)
            if len(holding):
                found[order[row]] = order[holding[-1]]
    return found
