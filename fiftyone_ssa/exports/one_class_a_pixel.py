"""Overlapping masks resolved, no pixel twice: the surer mask has it, of equals the smaller one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import MaskSet


@dataclass(frozen=True, eq=False)
class Owners:
    """Which mask each pixel belongs to."""

    rows: npt.NDArray[np.int32]
    """(H, W) the mask's row, -1 where there is none."""
    masks: MaskSet

    def kept(self) -> list[bytes | None] | None:
        """The code of each mask's own pixels, None where nothing of it is left; None as a whole without overlaps."""
        own_px = np.bincount(self.rows.ravel() + 1, minlength=len(self.masks) + 1)[1:]
        if (own_px == self.masks.areas_px).all():
            return None
        codes: list[bytes | None] = []
        for row, (x, y, w, h) in enumerate(self.masks.boxes_xywh.tolist()):
            if own_px[row] == self.masks.areas_px[row]:
                codes.append(self.masks.rles[row])
            elif own_px[row] == 0:
                codes.append(None)
            else:
                own = self.rows[y : y + h, x : x + w] == row
                codes.append(rle.encode_crop(own, (x, y), self.masks.size_hw))
        return codes

    def painted(self, values: Sequence[int], nothing: int = 0) -> npt.NDArray[np.uint32]:
        """(H, W) each mask's value in its pixels, `nothing` where there is no mask."""
        table = np.array([*values, nothing], np.uint32)
        painted: npt.NDArray[np.uint32] = table[self.rows]  # row -1 is the last entry
        return painted


def resolve(masks: MaskSet, documents: Sequence[Document]) -> Owners:
    """Who has each pixel: the mask of the highest confidence, of equals the smaller, of these the later."""
    found = (document.get("confidence") for document in documents)
    scores = np.array([value if is_number(value) else 0.0 for value in found], np.float64)
    rows = np.full(masks.size_hw, -1, np.int32)
    crops = list(rle.tight_crops(runs_of(masks), masks.boxes_xywh, masks.size_hw[0]))
    for row in np.lexsort((-masks.areas_px, np.nan_to_num(scores))).tolist():
        x, y, w, h = masks.boxes_xywh[row].tolist()
        rows[y : y + h, x : x + w][crops[row]] = row
    return Owners(rows, masks)
