"""How well a name fits what is seen at all: its probability among every name that anything of the run knows.

A decision compares what was proposed for a mask, and one of that is always best: on a picture that the models cannot
know it is nonsense, and sure. Beside all classes of the segmenters, nonsense fits no better than many others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fiftyone_ssa.naming.fusing import softmax
from fiftyone_ssa.naming.ranking import Embeddings, TextEncoder
from fiftyone_ssa.naming.vocabulary import read_vocabulary
from fiftyone_ssa.types import Floats

SPREAD = 2.0
"""Logits of a crop that are spread by more nats over the known names are brought to this: a filter of few names is
surer than it is right. (Small models of drawn scenes: 3 to 6; chosen on scenes from 3,000 and on pictures of noise.)"""
FEWEST = 20
"""With fewer known names a list of common ones joins them: one name alone would be certain of everything."""
COMMON = Path(__file__).parents[1] / "presets/common-names.txt"


def known_names(classes: Iterable[Sequence[str]], vocabulary: Sequence[str], *, common: bool = True) -> tuple[str, ...]:
    """All classes of the segmenters and the offered names, each once; with `common` names, too, where those are few."""
    names = dict.fromkeys(name for some in (*classes, vocabulary) for name in some)
    if common and len(names) < FEWEST:
        names |= dict.fromkeys(read_vocabulary(str(COMMON)))
    return tuple(names)


class Support:
    """Cosine of each crop and its name, and the name's probability among the known names and those of the image."""

    def __init__(self, encoder: TextEncoder, known: Sequence[str]) -> None:
        self._encoder, self._known = encoder, tuple(known)
        self._texts: Embeddings | None = None

    def __call__(
        self, looks: Sequence[Embeddings], labels: Sequence[str], others: Iterable[str]
    ) -> tuple[Floats, Floats]:
        """(K,) cosines and (K,) probabilities of K crops, given their embeddings and names.

        `others` are the names proposed in the image, which compete, too; `labels` need not be among them.
        """
        if self._texts is None:
            self._texts = self._encoder.texts(self._known)
        places = {name: place for place, name in enumerate(self._known)}
        new = [name for name in dict.fromkeys([*others, *labels]) if name not in places]
        texts = np.concatenate([some for some in (self._texts, self._encoder.texts(new)) if len(some)])
        places |= {name: len(self._known) + place for place, name in enumerate(new)}
        cosines = (np.stack(looks) @ texts.T).astype(np.float64)
        logits = self._encoder.logit_scale * cosines
        spread = logits[:, : len(self._known) or None].std(axis=1, keepdims=True)
        found = np.arange(len(labels)), [places[name] for name in labels]
        return cosines[found], softmax(logits * np.minimum(1.0, SPREAD / np.maximum(spread, 1e-9)))[found]
