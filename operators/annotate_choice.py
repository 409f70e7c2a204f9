"""What the values of the annotate form come to: a preset with changes, where masks come from, which images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.folders.image_folder import masks_beside
from fiftyone_ssa.labels.annotate import Job as Work
from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.models.catalogue import preferred_preset
from fiftyone_ssa.models.hardware import hardware
from fiftyone_ssa.presets import Preset, load_preset, parse_override

from .form_values import absolute_path
from .preset_cards import OWN_FILE

AS_PRESET, FIND, BESIDE = "preset", "sam", "json"
TRIED = 5
SEED = 51
"""With it FiftyOne's `take` draws the same samples whenever it is asked."""
MORE: dict[str, Any] = {
    "semantic_field": "",
    "batch_size": 4,
    "workers": 1,
    "dtype": "auto",
    "keep_branch": False,
    "mask_names": False,
    "overrides": "",
}
"""What is folded away, until one of them is not as it is here."""
DEFAULTS: dict[str, Any] = {
    "preset": "",
    "preset_file": "",
    "masks": AS_PRESET,
    "masks_field": "",
    "vocabulary": "",
    "only_vocabulary": False,
    "keep_embeddings": False,
    "vote": AS_PRESET,
    "label_field": "ssa",
    "overwrite": False,
    "everything": False,
    "everything_sure": False,
    "device": "auto",
    "try_first": False,
    "more": False,
    **MORE,
}
"""Empty: what suits this machine, the preset or the dataset."""


class Choice:
    """What a form's values come to: the preset with its changes, and where masks come from."""

    def __init__(self, samples: Any, params: dict[str, Any]) -> None:
        """Raises InputError for a preset, a change or a field that is none."""
        self.samples, self.params = samples, params
        self.base = base_preset(params)
        named = params["masks_field"] or params["masks"] or AS_PRESET
        self.masks = usual_masks(samples, self.base) if named == AS_PRESET else named

    @property
    def masks_field(self) -> str | None:
        """The field that masks are taken from, if they are."""
        return None if self.masks in (FIND, BESIDE) else self.masks

    @property
    def preset(self) -> Preset:
        """The preset with what the form changes in it, the user's own changes last."""
        params = self.params
        changes: dict[str, Any] = {"masks.source": "sam" if self.masks == FIND else "existing"}
        if self.masks != FIND and params["mask_names"]:
            changes["masks.names"] = "proposed"
        if self.base.pipeline == "ssa" and params["vote"] not in ("", AS_PRESET):
            changes["semantic.vote"] = params["vote"]
        names = "".join(f"{name}\n" for name in own_names(params["vocabulary"]))
        if self.base.semantic.vocabulary and names:
            changes["semantic.vocabulary"] = names
        if self.base.pipeline == "engine" and names:
            changes["open_vocabulary.vocabulary"] = names
            if params["only_vocabulary"]:
                changes |= {"open_vocabulary.segmenters": (), "open_vocabulary.captioner": ""}
        return load_preset(self.base, changes | parsed_overrides(params))

    @property
    def keep_embeddings(self) -> bool:
        """Whether what CLIP sees of each mask is kept; SSA presets have none."""
        return self.base.pipeline == "engine" and bool(self.params["keep_embeddings"])

    def work(self) -> Work:
        """The library's own checks of all that, together with the fields'."""
        params = self.params
        everything = params["overwrite"] and params["everything"]
        return Work(
            self.samples,
            label_field=params["label_field"],
            preset=self.preset,
            masks_field=self.masks_field,
            semantic_field=params["semantic_field"] or None,
            overwrite="everything" if everything else params["overwrite"],
            keep_branch=params["keep_branch"],
            keep_embeddings=self.keep_embeddings,
        )


def own_names(text: str) -> list[str]:
    """The names that somebody typed, with commas or line breaks between, each once."""
    return list(dict.fromkeys(name for part in text.replace("\n", ",").split(",") if (name := part.strip())))


def base_preset(params: dict[str, Any]) -> Preset:
    """The preset that is chosen, as it stands. Raises InputError where there is none."""
    if params["preset"] == OWN_FILE:
        if not params["preset_file"]:
            raise InputError("name a TOML file, or choose one of the presets")
        return load_preset(absolute_path("the path of the TOML file", params["preset_file"]))
    if params["preset"]:
        return load_preset(params["preset"])
    here = hardware(params["device"])
    return load_preset(preferred_preset(gpu=here.is_gpu, free_gb=here.free_gb))


def parsed_overrides(params: dict[str, Any]) -> dict[str, Any]:
    """The user's own changes. Raises InputError for a line that is none."""
    return dict(parse_override(line) for line in params["overrides"].splitlines() if line.strip())


def usual_masks(samples: Any, preset: Preset) -> str:
    """Where a preset's masks come from here: it names SAM, or masks that are there, beside the images or in a field."""
    if preset.masks.source == "sam":
        return FIND
    first = samples.limit(1).values("filepath")
    if any(masks_beside(Path(path)).is_file() for path in first):
        return BESIDE
    return next(iter(detections_fields(samples)), BESIDE)


def trial_of(samples: Any) -> Any:
    """The few samples of a collection that are tried first, the same ones every time."""
    ids = samples.take(TRIED, seed=SEED).values("id")
    return samples.select(ids)


def save_trial(samples: Any, params: dict[str, Any]) -> str:
    """Keep the samples of a trial as a saved view, and answer its name."""
    dataset, name = root_dataset(samples), f"try {params['label_field']}"
    dataset.save_view(name, dataset.select(trial_of(samples).values("id")), overwrite=True)
    return name


def chosen_overwrite(params: dict[str, Any]) -> Any:
    """What the library's `overwrite` is; "everything" has to be said twice."""
    if params["overwrite"] and params["everything"]:
        if not params["everything_sure"]:
            raise InputError("this cannot be undone: say yes, or leave what people touched as it is")
        return "everything"
    return params["overwrite"]
