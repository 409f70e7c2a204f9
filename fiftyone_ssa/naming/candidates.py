"""One mask of an image on its way through the engine, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks.rle import scaled_crop_xyxy
from fiftyone_ssa.types import Embeddings, Floats, Ints, MaskSet, Proposals


@dataclass(eq=False)
class Candidate:
    """One mask on its way through the stages; an empty mask has none."""

    image: torch.Tensor
    """(H, W, 3) uint8, the whole image on the device."""
    masks: MaskSet
    index: int
    sources: dict[str, str] = field(default_factory=dict)
    """What may name the mask, in order, with who proposed it first."""
    votes: dict[str, float] = field(default_factory=dict)
    """The share of the mask that segmenters give each class, summed over segmenters; those above 0."""
    caption: str = ""
    subject: str | None = None
    """The name that its caption begins with."""
    proposals: Proposals = field(default_factory=Proposals)
    evidence: Floats | None = None
    """(n,) that of each name of its image, and which of them its proposals are, where the decision is fused."""
    columns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    terms: Floats | None = None
    """(n, terms) what each of `fusing.TERMS` says of each name, where weights are being fitted."""
    label: str | None = None
    confidence: float = 0.0
    similarity: float = float("nan")
    """The class filter's cosine of its crop and its name."""
    look: npt.NDArray[np.float32] | None = None
    """The class filter's (d,) embedding of its crop."""
    _crops: dict[float, tuple[int, int, int, int]] = field(default_factory=dict)
    """What was found for each scale."""

    def crop_xyxy(self, scale: float) -> tuple[int, int, int, int]:
        """The published crop around the box that the mask's source states."""
        if scale not in self._crops:
            self._crops[scale] = scaled_crop_xyxy(self.masks.source_boxes_xywh[self.index], scale, self.masks.size_hw)
        return self._crops[scale]

    def crop(self, scale: float) -> torch.Tensor:
        """(h, w, 3) uint8, a view."""
        x0, y0, x1, y1 = self.crop_xyxy(scale)
        return self.image[y0:y1, x0:x1]

    def box_xyxy(self, scale: float) -> tuple[int, int, int, int]:
        """The part of a crop that holds the mask, pixels, x1 and y1 exclusive; nothing where x1 <= x0 or y1 <= y0."""
        x0, y0, x1, y1 = self.crop_xyxy(scale)
        x, y, w, h = self.masks.boxes_xywh[self.index].tolist()
        return max(x, x0), max(y, y0), min(x + w, x1), min(y + h, y1)

    def is_in_crop(self, scale: float) -> bool:
        """Whether the mask's box meets a crop; where masks come with boxes of another place, it does not."""
        x0, y0, x1, y1 = self.box_xyxy(scale)
        return x1 > x0 and y1 > y0

    def propose(self, names: Iterable[str], source: str) -> None:
        """Add names in order; one that is there already keeps its first source."""
        for name in names:
            self.sources.setdefault(name, source)


def embeddings_of(count: int, candidates: list[Candidate]) -> Embeddings:
    """What was seen in each of `count` masks; zeros where none of the candidates is that mask."""
    looks = {candidate.index: candidate.look for candidate in candidates if candidate.look is not None}
    embeddings = np.zeros((count, len(next(iter(looks.values()), ()))), np.float16)
    for index, look in looks.items():
        embeddings[index] = look
    return embeddings
