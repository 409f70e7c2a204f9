"""Kept embeddings as FiftyOne's Brain knows them: "sort by similarity" over masks, by mask or by text, and a plot."""

from __future__ import annotations

import logging
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
from fiftyone.brain.similarity import Similarity, SimilarityConfig, SimilarityIndex
from pymongo.errors import PyMongoError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.kept import Kept, object_ids, rows_of
from fiftyone_ssa.labels.likeness import MOST

logger = logging.getLogger(__name__)


class KeptSimilarityConfig(SimilarityConfig):  # type: ignore[misc]  # FiftyOne has no types
    """Says that the index reads the files beside the dataset."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "supports_prompts": True})

    @property
    def method(self) -> str:
        """The backend's name."""
        return "fiftyone_ssa"

    @property
    def max_k(self) -> int:
        """How many masks a view can be ordered by."""
        return MOST

    @property
    def supports_least_similarity(self) -> bool:
        """The least similar can be asked for, too."""
        return True

    @property
    def supported_aggregations(self) -> tuple[str, ...]:
        """Of several queries."""
        return ("mean",)


class KeptSimilarity(Similarity):  # type: ignore[misc]
    """Makes the index."""

    def initialize(self, samples: Any, brain_key: str) -> KeptSimilarityIndex:
        """The index over all that is kept."""
        return KeptSimilarityIndex(samples, self.config, brain_key, backend=self)


class KeptSimilarityIndex(SimilarityIndex):  # type: ignore[misc]
    """Exact search over the files; it holds nothing, so that it is right whatever was embedded or deleted since."""

    @property
    def supports_prompts(self) -> bool:
        """Texts can be asked for."""
        return True

    @property
    def total_index_size(self) -> int:
        """Masks with an embedding."""
        return len(self.get_embeddings()[0])

    def get_model(self) -> Any:
        """What embeds texts."""
        return _Texts(self._kept().model)

    def get_embeddings(self, sample_ids: Any = None, label_ids: Any = None, **_: Any) -> tuple[Any, Any, Any]:
        """All vectors, or those of some images or masks, with the ids of both."""
        wanted = None if label_ids is None else set(np.atleast_1d(label_ids).tolist())
        images = None if sample_ids is None else set(np.atleast_1d(sample_ids).tolist())
        vectors, found_samples, found_labels = [], [], []
        for block_samples, ids, block in self._kept().blocks():
            for sample, identity, vector in zip(block_samples, ids, block, strict=True):
                if (wanted is None or identity.hex() in wanted) and (images is None or str(sample) in images):
                    vectors.append(vector)
                    found_samples.append(str(sample))
                    found_labels.append(identity.hex())
        return np.array(vectors, np.float32), np.array(found_samples), np.array(found_labels)

    def cleanup(self) -> None:
        """The files stay with the labels."""

    def _kept(self) -> Kept:
        return Kept(self.view, self.config.patches_field)

    def _kneighbors(
        self,
        query: Any = None,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str | None = None,
        return_dists: bool = False,
    ) -> Any:
        if query is None:
            raise ValueError("this index answers queries by mask, vector or text, not for all masks at once")
        kept = self._kept()
        vectors = np.atleast_2d(query) if _is_numeric(query) else self._vectors(kept, query)
        mean = vectors.mean(axis=0, keepdims=True).astype(np.float32)
        mean /= np.linalg.norm(mean) or 1
        found = kept.nearest(-mean if reverse else mean, min(k or MOST, MOST))
        samples, labels = list(map(str, found.images)), [identity.hex() for identity in found.ids]
        distances = [1 - (-value if reverse else value) for value in found.similarities]
        return (samples, labels, distances) if return_dists else (samples, labels)

    def _vectors(self, kept: Kept, ids: Any) -> Any:
        wanted = object_ids([ids] if isinstance(ids, str) else list(ids))
        return kept.query(wanted, [row["sample"] for row in rows_of(kept.dataset, kept.label_field, wanted)])

    @classmethod
    def _from_dict(cls, d: Any, samples: Any, config: Any, brain_key: str) -> KeptSimilarityIndex:
        return cls(samples, config, brain_key)


class _Texts:
    """A class filter as FiftyOne asks for texts."""

    def __init__(self, class_filter: Any) -> None:
        self._filter = class_filter

    def __enter__(self) -> _Texts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def embed_prompts(self, prompts: Any) -> Any:
        """(N, d) unit vectors."""
        return self._filter.texts([prompts] if isinstance(prompts, str) else list(prompts))


def index_key(label_field: str) -> str:
    """The brain key of a field's similarity index."""
    return f"{label_field}_likeness"


def plot_key(label_field: str) -> str:
    """The brain key of a field's plot."""
    return f"{label_field}_plot"


def offer(dataset: fo.Dataset, label_field: str) -> None:
    """Give the App a similarity index and an embeddings plot of a field's masks, anew where they are there already."""
    for key in (index_key(label_field), plot_key(label_field)):
        if dataset.has_brain_run(key):
            dataset.delete_brain_run(key)
    kept = Kept(dataset, label_field)
    fob.compute_similarity(
        dataset,
        patches_field=label_field,
        embeddings=False,
        brain_key=index_key(label_field),
        backend=KeptSimilarityConfig,
    )
    ids, points = principal_points(kept)
    if len(ids) > 2:
        places = dict(zip(ids, points, strict=True))
        fob.compute_visualization(dataset, patches_field=label_field, points=places, brain_key=plot_key(label_field))


def try_to_offer(dataset: fo.Dataset, label_field: str) -> None:
    """`offer` at the end of a run, whose labels are written and must not seem to have failed for it."""
    try:
        offer(dataset, label_field)
    except (InputError, PyMongoError, ValueError) as error:
        logger.warning("no similarity index of %r in the App: %s", label_field, error)


def principal_points(kept: Kept) -> tuple[list[str], Any]:
    """(N,) ids of masks and their (N, 2) places along the two principal axes, found and applied block by block."""
    ids: list[str] = []
    total: Any = 0.0
    products: Any = 0.0
    for _, some, vectors in kept.blocks():
        ids += [identity.hex() for identity in some]
        total = total + vectors.sum(axis=0, dtype=np.float64)
        products = products + (vectors.T @ vectors).astype(np.float64)
    if not ids:
        return [], np.zeros((0, 2))
    mean = total / len(ids)
    _, axes = np.linalg.eigh(products / len(ids) - np.outer(mean, mean))
    axes = axes[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])  # an axis has no sign of its own
    parts = [(vectors - mean) @ axes for _, _, vectors in kept.blocks()]
    return ids, np.concatenate(parts)


def _is_numeric(query: Any) -> bool:
    return isinstance(query, np.ndarray) and np.issubdtype(query.dtype, np.number)
