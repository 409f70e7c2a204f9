"""Every setting of a preset: its default, its range, what it means, and when it can change a label.

A field's metadata holds `range` (both ends legal), `applies` (the one value of the section's `source` with which the
setting is read; without it, always) and `labels` (False: it can change no label, so it does not count as another
setting). Defaults must never change: work that is finished is known by the settings that differ from them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FILTER = "filter"
"""As `open_vocabulary.decider`: no model, and no path of that name either."""


def _sam(default: Any, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """A setting of everything-mode, which is not read where masks exist already."""
    limits = {} if low is None else {"range": (low, high)}
    return field(default=default, metadata={"applies": "sam", **limits, **more})


@dataclass(frozen=True)
class Masks:
    """Where masks come from: SAM with `SamAutomaticMaskGenerator`'s parameters, or masks that are already there."""

    source: Literal["sam", "existing"] = "sam"
    """`existing`: the SA-1B style JSON beside each image, or the FiftyOne field that the caller names."""
    model: str = _sam("facebook/sam-vit-huge")
    """A Hugging Face id or folder of the SAM family, its authors' checkpoint (`.pth`, `.pt`), an instance or panoptic
    segmenter (Mask2Former, OneFormer, EoMT ...), or `"module:factory"` of a generator of masks of your own."""
    names: Literal["ignored", "proposed"] = field(default="ignored", metadata={"applies": "existing"})
    """Whether the names that existing masks have are read, and help to name them (docs/models.md); those that a model
    gives its own masks always are."""
    task: Literal["auto", "panoptic", "instance"] = _sam("auto")
    """What an instance or panoptic segmenter as `model` is asked for; `auto`: by its classes, panoptic where there are
    some of stuff (sky, grass) among them."""
    score_thresh: float = _sam(0.5, 0.0, 1.0)
    """Masks of an instance or panoptic segmenter that it is less sure of than this are dropped."""
    levels: Literal["none", "written"] = "none"
    """`written`: results say where each mask stands among the others, in `level`, `parent` and `duplicate_of`
    (docs/parts.md)."""
    concepts: str = ""
    """A Hugging Face id or folder of a SAM 3, which is asked for the engine's vocabulary, or for the classes of SSA's
    segmenter: what it finds names masks, and masks that only it found are added; empty: none."""
    concept_thresh: float = field(default=0.5, metadata={"range": (0.0, 1.0)})
    """Of what `concepts` finds, that which it is less sure of than this does not count."""
    points_per_side: int = _sam(32, 1, 512)
    """A grid of this many points along each side of the image is asked for masks."""
    points_per_batch: int = _sam(64, 1, 65536, labels=False)
    """Points that are decoded at a time: more is faster and takes more memory."""
    pred_iou_thresh: float = _sam(0.86, -1e9, 1.0)
    """Masks whose quality SAM itself predicts below this are dropped, in [0, 1]; SAM's own default is 0.88."""
    stability_score_thresh: float = _sam(0.92, 0.0, 1.0)
    """Masks that change more than this allows when their threshold is moved are dropped; SAM's own default is 0.95."""
    stability_score_offset: float = _sam(1.0, 0.0, 100.0)
    """How far the threshold is moved for the stability score, in logits."""
    box_nms_thresh: float = _sam(0.7, 0.0, 1.0)
    """Of two masks whose boxes overlap by more than this IoU, the one of lower predicted quality is dropped."""
    crop_n_layers: int = _sam(0, 0, 4)
    """Layers of crops that are looked at besides the whole image: layer i has 2^i crops along each side."""
    crop_nms_thresh: float = _sam(0.7, 0.0, 1.0)
    """As `box_nms_thresh`, between masks of different crops."""
    crop_overlap_ratio: float = _sam(512 / 1500, 0.0, 1.0)
    """How far neighbouring crops overlap, as a share of the image's shorter side; halves with each layer."""
    crop_n_points_downscale_factor: int = _sam(1, 1, 64)
    """Crops of layer i are asked at `points_per_side` divided by this to the power of i points along each side."""
    min_mask_region_area: int = _sam(0, 0, 1_000_000_000)
    """Islands and holes of fewer pixels than this are removed from masks."""
    answered_iou_thresh: float = _sam(0.0, 0.0, 1.0)
    """A point inside the smallest mask that another point of its crop was given is not asked, if that mask's predicted
    IoU is this or above. 0 asks all, as SamAutomaticMaskGenerator does, which has no such parameter."""


@dataclass(frozen=True)
class Semantic:
    """The closed-set segmenter of SSA and its voting rule."""

    source: Literal["model", "field"] = "model"
    """`field`: class maps that exist, in the FiftyOne field that the caller names."""
    model: str = field(default="", metadata={"applies": "model"})
    """A Hugging Face id or folder, or `"module:factory"` of a segmenter of your own; a CLIPSeg, GroupViT or SAM 3 with
    a `vocabulary`."""
    vocabulary: str = field(default="", metadata={"applies": "model"})
    """The classes of a segmenter that knows none of its own (CLIPSeg, GroupViT, SAM 3): a text file with one a line, or
    the names themselves, with commas between or a line break behind each; empty: none."""
    ontology: str = ""
    """A TOML file of the classes that are wanted (docs/ontology.md): they are what is voted for, and their prompts join
    the `vocabulary`; empty: the segmenter's own classes."""
    background: float = field(default=0.0, metadata={"applies": "model", "range": (0.0, 0.999)})
    """Where such a segmenter is less sure of every name than this, a pixel is of the class "background"; 0: never."""
    vote: Literal["hard", "soft", "core", "auto"] = "hard"
    """How the class map's pixels under a mask decide its class (docs/models.md)."""
    check: Literal["none", "colourless"] = field(default="none", metadata={"applies": "model"})
    """`colourless`: the segmenter looks at each image once more, without its colours, and how likely each mask's name
    is there is kept as `colourless_share`, by which `calibrate` tells right names from wrong ones better."""


@dataclass(frozen=True)
class OpenVocabulary:
    """The models and settings of SSA-engine."""

    segmenters: tuple[str, ...] = ()
    """Hugging Face ids, folders or `"module:factory"`; each proposes its most frequent class under a mask. A CLIPSeg,
    GroupViT or SAM 3 among them is asked for the names of `vocabulary`."""
    captioner: str = ""
    """A Hugging Face id or folder of a captioner, or `"module:factory"`; empty: no captions."""
    prompt: str = "name"
    """What a captioner that is asked in words is asked: `name`, `names`, `caption`, or a text; others read none."""
    class_filter: str = ""
    """An open_clip model, `"ViT-L-14:openai"` or `"local-dir:FOLDER"`, a Hugging Face id or folder of a CLIP, SigLIP
    or MetaCLIP 2, or `"module:factory"`."""
    template: str = "{}"
    """What the class filter reads of a name, which stands for `{}`: `"a photo of a {}"`, say."""
    decider: str = ""
    """A Hugging Face id or folder of a CLIPSeg, a SAM 3 or an image-text model, or `"module:factory"`; `filter`: no
    second model, the class filter's best name is taken."""
    decision: Literal["published", "fused"] = "published"
    """`published`: the decider alone chooses among the filter's proposals; `fused`: votes, captions, filter,
    decider and the masks around decide together, among all names of the image (docs/models.md)."""
    weights: tuple[str, ...] = ()
    """What the terms of a fused decision count where not as fixed, `"term=number"` each, from -1000 to 1000;
    `calibrate` fits them."""
    phrases: Literal["head", "raw"] = "head"
    """`head`: a caption's noun phrases without articles, pronouns and colours; `raw`: as they stand (published)."""
    parts: Literal["alone", "context"] = "alone"
    """`context`: a mask that was given the name of the mask around it is looked at again, among names of parts
    (docs/parts.md)."""
    vocabulary: str = ""
    """Names that are offered for every mask: a text file with one a line, or the names themselves, with commas between
    or a line break behind each; empty: none."""
    ontology: str = ""
    """A TOML file of the classes that are wanted (docs/ontology.md): masks are named by them, and their prompts join
    the `vocabulary`; empty: names as they are said."""
    top_k: int = field(default=3, metadata={"range": (1, 1000)})
    """Names that the filter leaves to the decider for each mask."""
    filter_scale: float = field(default=1.2, metadata={"range": (1.0, 100.0)})
    """The crop that the filter looks at, as a multiple of the mask's box."""
    caption_scale: float = field(default=1.6, metadata={"range": (1.0, 100.0)})
    """The crop that is captioned, as a multiple of the mask's box."""
    decide_scale: float = field(default=1.6, metadata={"range": (1.0, 100.0)})
    """The crop that the decider looks at, as a multiple of the mask's box."""
    max_new_tokens: int = field(default=20, metadata={"range": (1, 512)})
    """The longest caption, in tokens."""


@dataclass(frozen=True)
class Preset:
    """One pipeline with every setting. Load it with `load_preset`; it travels between processes, its models do not."""

    name: str
    pipeline: Literal["ssa", "engine"] = "ssa"
    masks: Masks = Masks()
    semantic: Semantic = Semantic()
    open_vocabulary: OpenVocabulary = OpenVocabulary()

    def settings(self) -> dict[str, Any]:
        """Every setting that can change a label, as `"section.key"` to JSON value; the preset's name is none."""
        flat: dict[str, Any] = {"pipeline": self.pipeline}
        for section in ("masks", "semantic" if self.pipeline == "ssa" else "open_vocabulary"):
            table = getattr(self, section)
            for entry in dataclasses.fields(table):
                read = entry.metadata.get("applies", getattr(table, "source", None)) == getattr(table, "source", None)
                if read and entry.metadata.get("labels", True):
                    value = getattr(table, entry.name)
                    flat[f"{section}.{entry.name}"] = list(value) if isinstance(value, tuple) else value
        return flat

    @property
    def is_checked(self) -> bool:
        """Whether SSA's segmenter looks at each image without colours, too."""
        return self.pipeline == "ssa" and self.semantic.source == "model" and self.semantic.check == "colourless"

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over `settings()`; `naming.stamp` adds the content of what they name."""
        return fingerprint(self.settings())


def default_settings() -> dict[str, Any]:
    """What a setting is where a record lacks it: it was made before that setting existed."""
    defaults: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        for entry in dataclasses.fields(kind):
            value = entry.default
            defaults[f"{section}.{entry.name}"] = list(value) if isinstance(value, tuple) else value
    return defaults


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Sixteen hex digits over the settings that differ from their defaults, so that a new setting changes none."""
    defaults = default_settings()
    chosen = {key: value for key, value in settings.items() if key not in defaults or value != defaults[key]}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


SECTIONS: dict[str, type[Any]] = {"masks": Masks, "semantic": Semantic, "open_vocabulary": OpenVocabulary}
