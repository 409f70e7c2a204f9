"""Overlapping masks resolved, no pixel twice, by the rule of `ssa.panoptic`: parts before wholes, surer ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.masks import panoptic, rle
from fiftyone_ssa.masks.containment import contain
from fiftyone_ssa.masks.foreign import number_or_nan
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


def resolve(masks: MaskSet, labels: Sequence[str], documents: Sequence[Document], stuff: set[str]) -> Owners:
    """Who has each pixel, of masks with these labels; `stuff` are the classes that are no things.

    Unlike in `ssa.panoptic`, every mask takes part and keeps what is left of it.
    """
    scores = np.array([number_or_nan(document.get("confidence")) for document in documents], np.float64)
    things = np.array([label not in stuff for label in labels], np.bool_)
    depths = contain(masks, names=labels).depths
    order = panoptic.order_of(masks, depths=depths, things=things, scores=scores)
    resolved = panoptic.resolve(masks, order, np.full(len(masks), -1), least_left=0)
    rows = np.array([-1, *(members[0] for members in resolved.members)], np.int32)
    return Owners(rows[resolved.ids], masks)
