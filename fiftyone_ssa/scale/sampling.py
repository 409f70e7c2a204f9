"""Which masks come first, where not all that match are wanted: any, the first, the most doubtful, the most alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.naming.arguments import check_count
from fiftyone_ssa.scale.query import Output, Row

UNIFORM, FIRST, MARGIN = "uniform", "first", "margin"
SAMPLES = {
    UNIFORM: "any of them, each as likely as the others; the same for a seed",
    FIRST: "in the order of their images",
    MARGIN: "those first whose best two names are closest",
}
PLACE = "image_id, mask_id"


@dataclass(frozen=True)
class Sample:
    """How masks are taken among those that match."""

    how: str = UNIFORM
    """One of `SAMPLES`."""
    limit: int | None = None
    """At most so many masks; None: all."""
    per_class: int | None = None
    """At most so many masks of each label; None: all."""
    near: str | None = None
    """`IMAGE_ID:MASK_ID` of a mask to whose embedding those taken are nearest, by cosine; takes the place of `how`."""
    seed: int = 51
    """Of `uniform`."""

    def __post_init__(self) -> None:
        if self.how not in SAMPLES:
            raise InputError(f"sample must be one of {', '.join(SAMPLES)}, got {shown(self.how)}")
        for name in ("limit", "per_class"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise InputError(f"seed must be a whole number, got {shown(self.seed)}")


def order(output: Output, sample: Sample) -> tuple[str, list[Any]]:
    """What an ORDER BY over `masks` takes, the same whatever the threads, and its values.

    Raises InputError if the mask of `near` is not there, or has no embedding.
    """
    if sample.near is not None:
        return f"list_cosine_similarity(embedding, ?::FLOAT[]) DESC NULLS LAST, {PLACE}", [
            _embedding(output, sample.near)
        ]
    if sample.how == MARGIN:
        return f"margin NULLS LAST, {PLACE}", []
    if sample.how == FIRST:
        return PLACE, []
    return f"md5_number_lower(image_id || ':' || mask_id || ':' || ?), {PLACE}", [str(sample.seed)]


def condition(sample: Sample) -> tuple[str, list[Any]]:
    """What a mask is besides, to be taken: with `near`, one that looks like something, and not that mask itself."""
    if sample.near is None:
        return "true", []
    return "embedding IS NOT NULL AND NOT (image_id = ? AND mask_id = ?)", list(_mask(sample.near))


def _embedding(output: Output, near: str) -> Sequence[float]:
    image_id, mask_id = _mask(near)
    if "embedding" not in output.columns("masks"):
        raise InputError(f"near needs embeddings, which {output.root} has none of; annotate with --embeddings")
    found: Row | None = next(
        output.rows("SELECT embedding FROM masks WHERE image_id = ? AND mask_id = ?", [image_id, mask_id]), None
    )
    if found is None or not found["embedding"] or not any(found["embedding"]):
        missing = "there is no such mask" if found is None else "it has no embedding"
        raise InputError(f"near must be a mask with an embedding, as IMAGE_ID:MASK_ID; {missing}: {shown(near)}")
    vector: Sequence[float] = found["embedding"]
    return vector


def _mask(near: Any) -> tuple[str, int]:
    image_id, colon, mask_id = near.rpartition(":") if isinstance(near, str) else ("", "", "")
    if not colon or not mask_id.removeprefix("-").isdecimal():
        raise InputError(f"near must be a mask as IMAGE_ID:MASK_ID, got {shown(near)}")
    return image_id, int(mask_id)
