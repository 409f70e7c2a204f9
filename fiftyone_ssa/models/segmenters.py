"""Closed-set semantic segmenters: any from Hugging Face, or the user's own class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import Segmenter
from fiftyone_ssa.models.devices import Chunks, is_small
from fiftyone_ssa.models.factories import call_factory, is_factory
from fiftyone_ssa.models.hub import loading
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.types import Image, SemanticMap, class_ids


@runtime_checkable
class ScoringSegmenter(Segmenter, Protocol):
    """A segmenter that can also tell its class scores, which soft, core and blend votes need."""

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """Class scores on the segmenter's own grid, one per image."""


def load_segmenter(
    model: str, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool = False
) -> Segmenter:
    """A segmenter by Hugging Face id, local folder, or `"module:factory"` (also `"file.py:factory"`).

    A factory takes no arguments and returns an object with `classes` and `__call__`; where that object has
    `probabilities(images) -> list[(C, h, w) float32]` too, every voting rule can use it.
    Raises InputError if it cannot be loaded, with what to do.
    """
    if is_factory(model):
        return adopt(call_factory(model), model)
    return HuggingFaceSegmenter(model, device, dtype, trust_remote_code=trust_remote_code)


def adopt(segmenter: Any, what: str) -> Segmenter:
    """A user's segmenter behind checks that name it when its answer cannot be used."""
    if not callable(segmenter) or not hasattr(segmenter, "classes"):
        raise InputError(f"{what} must build an object with `classes` and `__call__(images)`, got {type(segmenter)}")
    return (
        UserScoringSegmenter(segmenter, what) if hasattr(segmenter, "probabilities") else UserSegmenter(segmenter, what)
    )


class UserSegmenter:
    """Checks what a user's segmenter answers: one map of the image's size per image, with known ids."""

    def __init__(self, segmenter: Any, what: str) -> None:
        self.segmenter, self.what = segmenter, what
        self.classes: Sequence[str] = tuple(str(name) for name in segmenter.classes)

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per image; plain (H, W) integer arrays are taken too."""
        answers = self._answers(self.segmenter(list(images)), images)
        return [self._checked(answer, image) for answer, image in zip(answers, images, strict=True)]

    def _answers(self, answers: Any, images: Sequence[Image]) -> list[Any]:
        listed: list[Any] = list(answers)
        if len(listed) != len(images):
            raise InputError(f"{self.what} answered {len(listed)} maps for {len(images)} images; one each is expected")
        return listed

    def _checked(self, answer: object, image: Image) -> SemanticMap:
        if not isinstance(answer, SemanticMap):
            array = np.asarray(answer)
            if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
                raise InputError(
                    f"{self.what} must answer SemanticMaps or (H, W) integers, got {array.shape} {array.dtype}"
                )
            if array.dtype != np.uint8 and array.size and (array.min() < 0 or array.max() >= len(self.classes)):
                raise InputError(
                    f"{self.what} answered class ids from {array.min()} to {array.max()}, but has "
                    f"{len(self.classes)} classes; give SemanticMaps where pixels are to be ignored"
                )
            answer = SemanticMap(class_ids(array, len(self.classes)), tuple(self.classes))
        if answer.size_hw != image.shape[:2]:
            raise InputError(
                f"{self.what} answered a map of {answer.size_hw} (height, width) for an image of {image.shape[:2]}; "
                "resize it to the image"
            )
        return answer


class UserScoringSegmenter(UserSegmenter):
    """A user's segmenter that also tells probabilities."""

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """The user's probabilities, checked."""
        answers = self._answers(self.segmenter.probabilities(list(images)), images)
        return [
            self._scores(np.asarray(answer, np.float32), image) for answer, image in zip(answers, images, strict=True)
        ]

    def _scores(self, values: npt.NDArray[np.float32], image: Image) -> ClassScores:
        if values.ndim != 3 or len(values) != len(self.classes) or not np.isfinite(values).all() or values.min() < 0:
            raise InputError(
                f"{self.what}.probabilities must give ({len(self.classes)}, h, w) finite non-negative numbers, "
                f"got {values.shape}"
            )
        return ClassScores(
            torch.from_numpy(values), tuple(self.classes), (image.shape[0], image.shape[1]), logits=False
        )


class HuggingFaceSegmenter:
    """SegFormer, UperNet, DPT, BEiT ... (logits) and OneFormer, Mask2Former, MaskFormer, EoMT (queries).

    Images go through one at a time: a batch of mixed sizes is padded, which changes scores, and a batch of one size
    changes their last bits; either would make labels depend on the batch size.
    """

    def __init__(
        self, model: str, device: torch.device, dtype: torch.dtype, *, trust_remote_code: bool = False
    ) -> None:
        from transformers import AutoConfig

        options = {"trust_remote_code": trust_remote_code}
        with loading(model, "a semantic segmenter"):
            config = AutoConfig.from_pretrained(model, **options)
            self.kind = config.model_type
            self.processor = _processor(model, self.kind, options)
            self.model = _model_class(config, model).from_pretrained(model, dtype=dtype, **options)
        self.model.requires_grad_(False).eval().to(device)
        self.device, self.dtype = device, dtype
        parallel = device.type == "cpu" and is_small(self.model)
        self._images = Chunks(1, f"the segmenter {model}", pad=False, parallel=parallel)
        labels = {int(key): str(name) for key, name in config.id2label.items()}
        self.classes: Sequence[str] = tuple(labels[i].strip() for i in range(len(labels)))

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per image, of its size."""
        return self._images.map(lambda alone: [self._scores(*alone).semantic_map()], images)

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """Class scores on the model's own grid."""
        return self._images.map(lambda alone: [self._scores(*alone)], images)

    @torch.inference_mode()
    def _scores(self, image: Image) -> ClassScores:
        task = {"task_inputs": ["semantic"]} if self.kind == "oneformer" else {}
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        # the data format is named: a 1 or 3 pixels high image would be taken for channels otherwise
        inputs = self.processor([pixels], input_data_format="channels_first", return_tensors="pt", **task)
        offsets = inputs.pop("patch_offsets", None)
        tensors = {
            key: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }
        outputs = self.model(**tensors)
        size_hw = (image.shape[0], image.shape[1])
        if "class_queries_logits" in outputs:
            values = self._query_scores(outputs, offsets, size_hw)
            return ClassScores(values, tuple(self.classes), size_hw, logits=False, antialias=self.kind == "oneformer")
        # SegFormer's published upsampling is align_corners=True; Hugging Face's for all others is not
        return ClassScores(
            outputs.logits[0].float(), tuple(self.classes), size_hw, logits=True, align_corners=self.kind == "segformer"
        )

    def _query_scores(self, outputs: Any, offsets: Any, size_hw: tuple[int, int]) -> torch.Tensor:
        """(C, h, w): each query's classes times its mask, as the families' own post-processing does it."""
        mask_logits = outputs.masks_queries_logits.float()
        grid = {"mask2former": (384, 384)}.get(self.kind)
        if self.kind.startswith("eomt"):
            edge = self.processor.size
            grid = (edge["shortest_edge"], edge["longest_edge"] or edge["shortest_edge"])
        if grid is not None:
            mask_logits = torch.nn.functional.interpolate(mask_logits, size=grid, mode="bilinear", align_corners=False)
        classes = outputs.class_queries_logits.float().softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, mask_logits.sigmoid())
        if self.kind.startswith("eomt"):
            return self._merge_patches(scores, offsets, size_hw)
        return scores[0]

    def _merge_patches(self, scores: torch.Tensor, offsets: Any, size_hw: tuple[int, int]) -> torch.Tensor:
        """EoMT looks at square windows along the longer side, or at one padded window: back to the resized image."""
        from transformers.models.eomt.image_processing_eomt import get_size_with_aspect_ratio

        edge = self.processor.size
        height, width = get_size_with_aspect_ratio(size_hw, edge["shortest_edge"], edge["longest_edge"])
        if not offsets:
            return scores[0, :, :height, :width]
        merged: torch.Tensor = self.processor.merge_image_patches(scores, offsets, [(height, width)], edge)[0]
        return merged


def _processor(model: str, kind: str, options: dict[str, Any]) -> Any:
    """The image processor with torchvision's arithmetic (the two backends resize differently, so one is pinned)."""
    if kind == "oneformer":
        from transformers import OneFormerProcessor

        # its class file comes from another repository unless the path is local; by default it is the model's own
        local = {"repo_path": model} if Path(model).is_dir() else {}
        return OneFormerProcessor.from_pretrained(model, backend="torchvision", **local, **options)
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(model, backend="torchvision", **options)


def _model_class(config: Any, model: str) -> Any:
    from transformers import (
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
        MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
        AutoModelForSemanticSegmentation,
        AutoModelForUniversalSegmentation,
    )

    if type(config) in MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING and config.model_type != "detr":
        return AutoModelForUniversalSegmentation
    if type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING or "AutoModelForSemanticSegmentation" in (
        getattr(config, "auto_map", None) or {}
    ):
        return AutoModelForSemanticSegmentation
    raise InputError(
        f"{model} is a {config.model_type!r} model, not a semantic or universal segmenter "
        "(SegFormer, OneFormer, Mask2Former, EoMT, UperNet, DPT ...)"
    )
