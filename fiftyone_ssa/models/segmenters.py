"""Closed-set semantic segmenters: any from Hugging Face, or the user's own class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import torch

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.models import Segmenter
from fiftyone_ssa.models.architectures import with_own_classes
from fiftyone_ssa.models.class_names import published_names
from fiftyone_ssa.models.devices import Chunks, finer, is_small, tf32_products, without_float64
from fiftyone_ssa.models.factories import call_factory, is_factory
from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.images import images_on
from fiftyone_ssa.models.neighbourhood import has_neighbourhoods, plain_neighbourhoods
from fiftyone_ssa.models.open_segmenters import load_open_segmenter, needs_vocabulary
from fiftyone_ssa.models.replay import Replay
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.unwaiting import let_run_ahead
from fiftyone_ssa.models.user_segmenter import adopt
from fiftyone_ssa.types import Image, SemanticMap

WHAT = "a semantic segmenter"
TAKES = (
    "a semantic or universal segmenter (SegFormer, OneFormer, Mask2Former, EoMT, UperNet, DPT ...), or, with a "
    "vocabulary, a CLIPSeg, GroupViT or SAM 3"
)
TAKES_MASKS = "an instance or panoptic segmenter (Mask2Former, MaskFormer, OneFormer, EoMT, RF-DETR)"
FLOAT32_BUT_BACKBONE = ("oneformer", "mask2former")
"""Their pixel decoders place reference points, and OneFormer's task encoder reads token ids: neither bears half."""
ANSWERS = ("logits", "class_queries_logits", "masks_queries_logits", "pred_masks")
"""What is read of a network's outputs."""
REPLAYED = ("segformer", "oneformer", "mask2former")
"""Kinds that keep nothing from one call for the next: `let_run_ahead` sees to the latter two."""
THINGS = {"rf_detr": ("RfDetrForInstanceSegmentation",)}
"""Kinds that find things alone: masks, and no class map. They place reference points and have no half, either."""
FIXED_SIDES = ("beit", "data2vec-vision")
"""Kinds that take images of the one size that they were trained with."""
FIXED_GRIDS = ("eomt", "eomt_dinov3", "data2vec-vision")
"""Kinds that know a place for each patch of such an image, and none between them."""
SMALL = 64
"""Pixels from which on images are not tried at load."""
SQUARES = ("dpt",)
"""Kinds that take squares, of any size."""


@runtime_checkable
class ScoringSegmenter(Segmenter, Protocol):
    """A segmenter that can also tell its class scores, which soft, core and auto votes need."""

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """Class scores on the segmenter's own grid, one per image."""


def load_segmenter(
    model: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    trust_remote_code: bool = False,
    vocabulary: Sequence[str] = (),
    background: float = 0.0,
) -> Segmenter:
    """A segmenter by Hugging Face id, local folder, or `"module:factory"` (also `"file.py:factory"`).

    One that knows no classes of its own (CLIPSeg, GroupViT, SAM 3) is asked for the names of `vocabulary`, and has the
    class "background" where it is less sure of each than `background`, if that is above 0.

    A factory takes no arguments and returns an object with `classes` and `__call__`; where that object has
    `probabilities(images) -> list[(C, h, w) float32]` too, every voting rule can use it.
    Raises InputError if it cannot be loaded, with what to do.
    """
    if needs_vocabulary(model, trust_remote_code=trust_remote_code):
        return load_open_segmenter(model, device, dtype, vocabulary, background)
    if vocabulary:
        if not is_factory(model):
            _check_kind(model, trust_remote_code)  # what is no segmenter is told so
        raise InputError(with_own_classes(model))
    if is_factory(model):
        return adopt(call_factory(model), model)
    return HuggingFaceSegmenter(model, device, dtype, trust_remote_code=trust_remote_code)


def _check_kind(model: str, trust_remote_code: bool) -> None:
    from transformers import AutoConfig

    with loading(model, WHAT):
        _model_class(AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code), model, WHAT)


class HuggingFaceSegmenter:
    """SegFormer, UperNet, DPT, BEiT ... (logits) and OneFormer, Mask2Former, MaskFormer, EoMT (queries).

    Images go through one at a time: a batch of mixed sizes is padded, which changes scores, and a batch of one size
    changes their last bits; either would make labels depend on the batch size.
    """

    def __init__(
        self,
        model: str,
        device: torch.device,
        dtype: torch.dtype,
        *,
        trust_remote_code: bool = False,
        task: str = "semantic",
        what: str = WHAT,
    ) -> None:
        """`task` is what an OneFormer is asked for: semantic, panoptic or instance; `what`, the place it is for."""
        from transformers import AutoConfig

        options = {"trust_remote_code": trust_remote_code}
        with loading(model, what):
            config = AutoConfig.from_pretrained(model, **options)
            self.kind = config.model_type
            things = self.kind in THINGS and task != "semantic"
            kind = _things_class(config, model, what) if things else _model_class(config, model, what)
            dtype = finer(dtype) if self.kind == "segformer" else torch.float32 if things else dtype
            mixed = self.kind in FLOAT32_BUT_BACKBONE and dtype != torch.float32
            self.processor = _processor(model, self.kind, options)
            _check_size(self._pixels(torch.zeros((3, 8, 64), dtype=torch.uint8)), config, model, what)
            with plain_neighbourhoods() if has_neighbourhoods(config) else nullcontext():
                network = load_whole(kind, model, what, torch.float32 if mixed else dtype, **options)
        if self.kind in FLOAT32_BUT_BACKBONE:
            let_run_ahead(network)
        self.model = without_float64(network, device).to(device)
        self.device, self.dtype = device, torch.float32 if mixed else dtype
        self._task = self._task_tokens(model, task) if self.kind == "oneformer" else {}
        if mixed:
            _halve_backbone(network, dtype, self._task)
        self._mixed = mixed
        self._may_overflow = dtype == torch.float16
        self._load_in_float32 = partial(
            HuggingFaceSegmenter,
            model,
            device,
            torch.float32,
            trust_remote_code=trust_remote_code,
            task=task,
            what=what,
        )
        self._network = Replay(self._outputs, device, f"the segmenter {model}", able=self.kind in REPLAYED)
        parallel = device.type == "cpu" and is_small(self.model)
        self._images = Chunks(1, f"the segmenter {model}", pad=False, parallel=parallel)
        self.classes: Sequence[str] = published_names(config.id2label)
        self._check_small(model, what)

    def _check_small(self, model: str, what: str) -> None:
        """Raise InputError where a processor makes images too small for the network, which is tried where they are."""
        blank = torch.zeros((SMALL, SMALL, 3), dtype=torch.uint8)
        height, width = self._pixels(blank.permute(2, 0, 1))["pixel_values"].shape[-2:]
        if min(height, width) >= SMALL:
            return
        try:
            self.answer(blank.numpy())
        except (RuntimeError, ValueError, IndexError) as error:
            takes = f"cannot do with so few ({said_by(error)})"
            raise InputError(_unfit(model, what, height, width, takes)) from error

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per image, of its size."""
        return self._images.map(lambda alone: [self._scores(*alone).semantic_map()], images)

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """Class scores on the model's own grid."""
        return self._images.map(lambda alone: [self._scores(*alone)], images)

    @torch.inference_mode()
    def answer(self, image: Image) -> tuple[Mapping[str, torch.Tensor], Any]:
        """The network's own outputs for an image, and the places of EoMT's windows in it, where it looks at several."""
        (there,) = images_on([image], self.device)
        inputs = self._pixels(there.permute(2, 0, 1).contiguous())  # on a GPU it is resized there
        offsets = inputs.pop("patch_offsets", None)
        tensors = {
            key: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }
        with tf32_products(self._mixed):
            outputs = self._network(**tensors, **self._task)
        if self._may_overflow and not all(bool(values.isfinite().all()) for values in outputs.values()):
            return self._in_float32.answer(image)
        return outputs, offsets

    def _pixels(self, image: torch.Tensor) -> Any:
        """What the processor makes of a (3, h, w) uint8 image."""
        images = self.processor.image_processor if self.kind == "oneformer" else self.processor
        # the data format is named: a 1 or 3 pixels high image would be taken for channels otherwise
        return images([image], input_data_format="channels_first", return_tensors="pt")

    @cached_property
    def _in_float32(self) -> HuggingFaceSegmenter:
        """The same network for images whose answers overflow float16, loaded when the first does."""
        return self._load_in_float32()

    def _outputs(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.model(**inputs)
        return {name: found[name] for name in ANSWERS if name in found}

    @torch.inference_mode()
    def _scores(self, image: Image) -> ClassScores:
        outputs, offsets = self.answer(image)
        size_hw = (image.shape[0], image.shape[1])
        if "class_queries_logits" in outputs:
            values = self._query_scores(outputs, offsets, size_hw)
            return ClassScores(values, tuple(self.classes), size_hw, logits=False, antialias=self.kind == "oneformer")
        # SegFormer's published upsampling is align_corners=True; Hugging Face's for all others is not
        return ClassScores(
            outputs["logits"][0].float(),
            tuple(self.classes),
            size_hw,
            logits=True,
            align_corners=self.kind == "segformer",
        )

    def query_masks(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(windows, Q, h, w) float32 logits of the queries' masks, on the grid of the families' own post-processing."""
        mask_logits = outputs["pred_masks" if self.kind in THINGS else "masks_queries_logits"].float()
        grid = {"mask2former": (384, 384)}.get(self.kind)
        if self.kind.startswith("eomt"):
            edge = self.processor.size
            grid = (edge["shortest_edge"], edge["longest_edge"] or edge["shortest_edge"])
        if grid is not None:
            mask_logits = torch.nn.functional.interpolate(mask_logits, size=grid, mode="bilinear", align_corners=False)
        return mask_logits

    def _query_scores(
        self, outputs: Mapping[str, torch.Tensor], offsets: Any, size_hw: tuple[int, int]
    ) -> torch.Tensor:
        """(C, h, w): each query's classes times its mask, as the families' own post-processing does it."""
        mask_logits = self.query_masks(outputs)
        classes = outputs["class_queries_logits"].float().softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, mask_logits.sigmoid())
        if self.kind.startswith("eomt"):
            return self.merge_patches(scores, offsets, size_hw)
        return scores[0]

    def merge_patches(self, scores: torch.Tensor, offsets: Any, size_hw: tuple[int, int]) -> torch.Tensor:
        """EoMT looks at square windows along the longer side, or at one padded window: back to the resized image."""
        from transformers.models.eomt.image_processing_eomt import get_size_with_aspect_ratio

        edge = self.processor.size
        height, width = get_size_with_aspect_ratio(size_hw, edge["shortest_edge"], edge["longest_edge"])
        if not offsets:
            return scores[0, :, :height, :width]  # the rest is padding
        merged: torch.Tensor = self.processor.merge_image_patches(scores, offsets, [(height, width)], edge)[0]
        return merged

    def _task_tokens(self, model: str, task: str) -> dict[str, torch.Tensor]:
        """OneFormer's task in tokens, which are the same for every image."""
        check_vocabulary(self.processor.tokenizer, model, WHAT)
        blank = torch.zeros((3, 8, 8), dtype=torch.uint8)
        tokens = self.processor([blank], [task], input_data_format="channels_first", return_tensors="pt")
        return {"task_inputs": tokens["task_inputs"].to(self.device)}


def _halve_backbone(network: Any, dtype: torch.dtype, task: dict[str, torch.Tensor]) -> None:
    """Let the backbone of a float32 OneFormer or Mask2Former work in `dtype`, and hand float32 to the rest."""

    def narrow(_: Any, pixels: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (pixels[0].to(dtype), *pixels[1:])

    def widen(_: Any, __: Any, found: Any) -> Any:
        found.feature_maps = tuple(features.float() for features in found.feature_maps)
        return found

    backbone = network.model.pixel_level_module.encoder.to(dtype)
    backbone.register_forward_pre_hook(narrow)
    backbone.register_forward_hook(widen)
    if task:  # transformers rounds the tokens to the type of the model's first weight
        exact = task["task_inputs"].float()
        network.model.task_encoder.register_forward_pre_hook(lambda _, __: (exact,))


def _processor(model: str, kind: str, options: dict[str, Any]) -> Any:
    """The image processor with torchvision's arithmetic (the two backends resize differently, so one is pinned)."""
    if kind == "oneformer":
        from transformers import OneFormerProcessor

        # its class file, which only panoptic answers need, is in another repository
        return OneFormerProcessor.from_pretrained(model, backend="torchvision", class_info_file=None, **options)
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(model, backend="torchvision", **options)
    if getattr(processor, "do_center_crop", False):  # a map of the middle is none of the image
        processor.do_center_crop = False
        if kind in FIXED_SIDES:
            processor.size = processor.crop_size
    return processor


def _check_size(inputs: Any, config: Any, model: str, what: str) -> None:
    """Raise InputError where a processor makes images of another size than its network takes."""
    height, width = inputs["pixel_values"].shape[-2:]
    if config.model_type in FIXED_GRIDS:
        fits = all(side // config.patch_size == config.image_size // config.patch_size for side in (height, width))
        takes = f"takes {config.image_size} x {config.image_size}"
    elif config.model_type in THINGS:
        backbone = config.backbone_config
        step = backbone.patch_size * backbone.num_windows
        patches = (height // backbone.patch_size) * (width // backbone.patch_size)
        fits = not height % step and not width % step and patches >= config.num_queries
        takes = f"takes multiples of {step} with at least {config.num_queries} patches of {backbone.patch_size}"
    else:
        fits, takes = config.model_type not in SQUARES or height == width, "takes squares"
    if not fits:
        raise InputError(_unfit(model, what, height, width, takes))


def _unfit(model: str, what: str, height: int, width: int, takes: str) -> str:
    return (
        f"cannot load {what}: the processor of {model} makes images of {height} x {width} pixels, but its network "
        f"{takes}; get the whole model again"
    )


def _model_class(config: Any, model: str, what: str) -> Any:
    """The auto class that loads a config's segmenter; raises InputError if it is of another kind."""
    from transformers import AutoModelForSemanticSegmentation, AutoModelForUniversalSegmentation
    from transformers.models.auto import modeling_auto

    if "AutoModelForSemanticSegmentation" in (getattr(config, "auto_map", None) or {}):
        return AutoModelForSemanticSegmentation
    universal = dict(modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES)
    universal.pop("detr", None)  # it has masks of things, and no classes of stuff
    universal.pop("videomt", None)  # it is shown films
    semantic = dict(modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES)
    check_kind(config, model, what, {kind: (name,) for kind, name in {**semantic, **universal}.items()}, TAKES)
    return AutoModelForUniversalSegmentation if config.model_type in universal else AutoModelForSemanticSegmentation


def _things_class(config: Any, model: str, what: str) -> Any:
    """The class that loads a config's finder of things; raises InputError if it is of another kind."""
    from transformers import AutoModelForInstanceSegmentation

    check_kind(config, model, what, THINGS, TAKES_MASKS)
    return AutoModelForInstanceSegmentation
