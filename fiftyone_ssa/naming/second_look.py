"""A second look at masks that were given the name of the mask around them: `open_vocabulary.parts = "context"`.

Segmenters know wholes only, and the crop that is captioned shows much of what is around. So such a mask is captioned
once more, closer, and the class filter chooses among what may be a part, with the whole's name as one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from fiftyone_ssa.masks.containment import Containment, contain
from fiftyone_ssa.models import CaptionerSlot
from fiftyone_ssa.models.prompted import PromptedCaptioner
from fiftyone_ssa.naming.candidates import Candidate
from fiftyone_ssa.naming.fusing import CAPTION, softmax
from fiftyone_ssa.naming.part_names import known_wholes, part_names
from fiftyone_ssa.naming.ranking import TextEncoder
from fiftyone_ssa.types import Proposals

SUBJECT = 1.0
"""Nats for the name that the mask's first caption begins with (chosen on drawn scenes from 3,000)."""
PARTS = "parts"
"""Who proposed a name that a part of such a whole usually has, or another mask in the same one."""
Read = Callable[[Sequence[str | tuple[str, ...]]], list[tuple[str, ...]]]
"""From captions, or lists of names, to the names in them."""


@dataclass(frozen=True)
class _Repeat:
    """A mask that has its whole's name."""

    candidate: Candidate
    whole: str
    siblings: tuple[str, ...]
    """The names of the other masks in the same one."""


class SecondLook:
    """Names anew, among names of parts, the masks of an image that have the name of a mask around them."""

    def __init__(
        self, encoder: TextEncoder, captioner: CaptionerSlot | None, read: Read, scale: float, top_k: int
    ) -> None:
        """`scale` is the closer crop, as a multiple of the mask's box; that of the class filter, whose look counts."""
        self._encoder, self._captioner, self._read = encoder, captioner, read
        self._scale, self._top_k = scale, top_k

    def __call__(self, groups: Sequence[Sequence[Candidate]]) -> None:
        """Look again at the decided masks of some images, one group each."""
        per_image = [_repeats(group) for group in groups]
        every = list(chain.from_iterable(per_image))
        first = self._read([repeat.candidate.caption for repeat in every])
        for repeat, closer, said in zip(every, self._closer(per_image), first, strict=True):
            self._decide(repeat, closer, said)

    def _closer(self, per_image: Sequence[Sequence[_Repeat]]) -> list[tuple[str, ...]]:
        """The names that a closer look finds, mask by mask; a model that is asked in words is told the whole."""
        if self._captioner is None:
            return [()] * sum(map(len, per_image))
        crops = [[repeat.candidate.crop(self._scale) for repeat in repeats] for repeats in per_image]
        if isinstance(self._captioner, PromptedCaptioner):
            wholes = [[repeat.whole for repeat in repeats] for repeats in per_image]
            answers: Sequence[Sequence[str | tuple[str, ...]]] = self._captioner.parts(crops, wholes)
        else:
            answers = self._captioner(crops)
        return self._read(list(chain.from_iterable(answers)))

    def _decide(self, repeat: _Repeat, closer: tuple[str, ...], said: tuple[str, ...]) -> None:
        """Take the name of a part if it fits the crop better than the whole's; `said` is what its caption names."""
        candidate, whole = repeat.candidate, repeat.whole
        usual = (*repeat.siblings, *part_names(whole))
        sources = dict.fromkeys((*closer, *said), CAPTION) | candidate.sources
        sources |= {name: PARTS for name in usual if name not in sources}
        names = [name for name in sources if name != whole and (name in usual or name not in known_wholes())]
        if candidate.look is None or not names:
            return
        names.append(whole)  # of equals the part
        scores = self._encoder.texts(names).astype(np.float64) @ candidate.look.astype(np.float64)
        scores = self._encoder.logit_scale * scores + SUBJECT * np.array([said[:1] == (name,) for name in names])
        best = np.argsort(-scores, kind="stable")[: self._top_k].tolist()
        if names[best[0]] == whole:
            return
        shares = softmax(scores[None])[0]
        candidate.sources = candidate.sources | {names[i]: sources.get(names[i], PARTS) for i in best}
        candidate.proposals = Proposals(tuple(names[i] for i in best), tuple(float(shares[i]) for i in best))
        candidate.label, candidate.confidence = candidate.proposals.names[0], candidate.proposals.scores[0]


def _repeats(group: Sequence[Candidate]) -> list[_Repeat]:
    """The masks of one image that have the name of the smallest mask around them, and show another thing than it."""
    if not group:
        return []
    masks = group[0].masks
    nested = contain(masks)
    by_index = {candidate.index: candidate for candidate in group}
    found = []
    for candidate in group:
        around = by_index.get(int(nested.parents[candidate.index]))
        if around is None or candidate.label is None or candidate.label != around.label:
            continue
        if nested.depths[candidate.index] > nested.depths[around.index]:
            siblings = _siblings(nested, by_index, candidate, around)
            found.append(_Repeat(candidate, candidate.label, siblings))
    return found


def _siblings(
    nested: Containment, by_index: dict[int, Candidate], candidate: Candidate, around: Candidate
) -> tuple[str, ...]:
    """The names of the other masks in the same one, in their order, without its own."""
    inside = np.flatnonzero(nested.parents == around.index).tolist()
    labels = [by_index[i].label for i in inside if i in by_index and i != candidate.index]
    return tuple(dict.fromkeys(label for label in labels if label is not None and label != around.label))
