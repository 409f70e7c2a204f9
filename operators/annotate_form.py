"""The form of `annotate`: what is asked, in the order of a person's questions, and what comes of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.folders.image_folder import masks_beside
from fiftyone_ssa.labels.evaluation import segmentation_fields
from fiftyone_ssa.labels.preview import LOOKED_AT, preview
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.models.architectures import check_models
from fiftyone_ssa.models.catalogue import facts, is_offline, path_of, preferred_preset
from fiftyone_ssa.models.hardware import Hardware, hardware
from fiftyone_ssa.models.speeds import seconds_an_image
from fiftyone_ssa.naming.arguments import DTYPES, LARGEST_BATCH, LARGEST_WORKERS, check_device
from fiftyone_ssa.naming.vocabulary import read_vocabulary
from fiftyone_ssa.presets import Preset

from .annotate_choice import (
    AS_PRESET,
    BESIDE,
    FIND,
    MORE,
    TRIED,
    Choice,
    base_preset,
    chosen_overwrite,
    own_names,
    usual_masks,
)
from .form_values import check_new_name
from .forms import Card, Form, problem
from .preset_cards import OWN_FILE, duration, preset_cards

VOTES = {
    "auto": "recommended: follows good masks, the segmenter under bad ones",
    "hard": "the most frequent class under a mask; as published",
    "soft": "the highest mean probability; its confidence warns better of wrong names",
    "core": "soft, without the mask's border; for good masks and a blurry segmenter",
}
EXAMPLES = {
    "ssa": "masks.points_per_side=32 or semantic.model=/models/segformer",
    "engine": "open_vocabulary.decision=fused or open_vocabulary.decider=filter",
}
"""Of changes that somebody may want to make."""
CLOSED = "Which of the segmenter's classes a mask is; for names of your own choose an engine preset"


class Questions:
    """The fields of the form, from what is asked first to what comes of it."""

    def __init__(self, form: Form, samples: Any) -> None:
        self.form, self.samples = form, samples
        self.params = form.values
        self.fields = detections_fields(samples)

    def ask(self) -> None:
        """All of them; where one of the first is wrong, the rest have to wait for it."""
        form, params = self.form, self.params
        here = hardware(params["device"] if problem(lambda: check_device(params["device"])) == {} else "cpu")
        if not params["preset"]:
            params["preset"] = preferred_preset(gpu=here.is_gpu, free_gb=here.free_gb)
        form.choice("preset", preset_cards(here), label="Preset", cards=True)
        if params["preset"] == OWN_FILE:
            form.text(
                "preset_file",
                label="TOML file",
                description="The absolute path of a preset of your own",
                check=self._base,
            )
        if form.wrong:
            return
        base = base_preset(params)
        self._ask_sources(base)
        self._ask_more(base)
        self._ask_field()
        form.device()
        form.switch(
            "try_first",
            label=f"Try it on {TRIED} images first",
            description="Always the same ones; they open as a saved view. Run it again without this for the rest",
        )
        if not form.wrong and not form.refused(self._check_files):
            self._tell(here)
        form.put_last("more", *MORE)

    def _base(self) -> Preset:
        return base_preset(self.params)

    def _ask_sources(self, base: Preset) -> None:
        """Where masks come from, and names."""
        form, params = self.form, self.params
        ways = {FIND: "find them with SAM", BESIDE: "take them from the .json beside each image (SA-1B)"}
        ways |= {name: f"take those of the field {name}" for name in self.fields}
        usual = usual_masks(self.samples, base)
        params["masks"] = params["masks_field"] or params["masks"] or AS_PRESET
        as_preset = Card(AS_PRESET, f"As {base.name} does it: {ways[usual]}")
        cards = [Card(value, way[:1].upper() + way[1:]) for value, way in ways.items()]
        form.choice("masks", [as_preset, *cards], label="Masks", check=lambda: self._check_masks(usual))
        if base.pipeline == "ssa":
            if base.semantic.vocabulary:
                form.text(
                    "vocabulary",
                    label="Your own classes",
                    description="What the segmenter is asked for, by commas or line breaks; empty: the preset's",
                    lines=True,
                    check=self._check_names,
                )
            votes = [Card(AS_PRESET, f"As {base.name} does it: {base.semantic.vote}")]
            votes += [Card(name, f"{name}: {line}") for name, line in VOTES.items()]
            form.choice("vote", votes, label="Vote", description=CLOSED)
            return
        form.text(
            "vocabulary",
            label="Your own names",
            description="With commas or line breaks between, offered for every mask beside what the models propose; "
            "may stay empty",
            lines=True,
            check=self._check_names,
        )
        if isinstance(params["vocabulary"], str) and own_names(params["vocabulary"]):
            form.switch(
                "only_vocabulary",
                label="Only these names",
                description="Nothing else is proposed: faster, and every mask gets one of them",
            )
        form.switch(
            "keep_embeddings",
            label="Keep embeddings (find look-alikes)",
            description="So that masks which look alike are found: about 1 KB a mask beside the dataset, no more time",
        )

    def _check_masks(self, usual: str) -> None:
        """Raise InputError where masks are to lie beside the images, and the first has none."""
        masks = usual if self.params["masks"] == AS_PRESET else self.params["masks"]
        first = self.samples.limit(1).values("filepath") if masks == BESIDE else []
        for path in map(masks_beside, map(Path, first)):
            if not path.is_file():
                raise InputError(f"{path} is not there: masks would be read from the .json beside each image")

    def _ask_more(self, base: Preset) -> None:
        """What few need, under a switch that is on where one of it is not as usual."""
        form, params = self.form, self.params
        takes_map = base.pipeline == "ssa" and base.semantic.source == "field"
        changed = takes_map or any(params[name] != usual for name, usual in MORE.items())
        if not form.switch("more", label="More settings") and not changed:
            return
        if params["mask_names"] or Choice(self.samples, params).masks != FIND:
            form.switch(
                "mask_names",
                label="Names that the masks have count, too",
                description="Engine: they are proposed first. SSA: a name that is one of its classes votes",
            )
        if base.pipeline == "ssa":
            form.choice(
                "semantic_field",
                segmentation_fields(self.samples),
                label="Existing class map",
                description="A field that stands in for the segmenter; empty: run the segmenter",
                check=self._check_map if takes_map else None,
            )
            form.switch("keep_branch", label="Keep the segmenter's own map beside the refined one")
        form.number("batch_size", label="Images at a time", high=LARGEST_BATCH)
        form.number(
            "workers",
            label="Processes side by side",
            description="Each has models of its own: as many as there are GPUs; on a CPU one is usual",
            high=LARGEST_WORKERS,
        )
        form.choice("dtype", DTYPES, label="Number type", description="auto: bfloat16 on a GPU, float32 on a CPU")
        form.text(
            "overrides",
            label="Changes to the preset",
            description=f"One section.key=value a line, for example {EXAMPLES[base.pipeline]}",
            lines=True,
            check=self._check_files if params["overrides"] else None,
        )

    def _ask_field(self) -> None:
        """The field to fill, what is in it, and whether that is redone."""
        form, params = self.form, self.params
        held = params["label_field"] in self.fields
        redo_is_clear = isinstance(params["overwrite"], bool)
        form.text(
            "label_field",
            label="Label field",
            description="Masks go to this field, the class map to <field>_semantic",
            check=self._check_field if redo_is_clear and not form.wrong else None,
        )
        if not held and params["overwrite"] is False:
            return
        redo = form.switch(
            "overwrite",
            label="Redo images that are done",
            description="Masks that people reviewed, renamed, tagged, edited or drew stay as they are",
        )
        if redo and form.switch("everything", label="Drop what people touched, too"):
            form.switch(
                "everything_sure",
                label="Yes: reviews, corrections and drawn masks of this field are lost",
                check=lambda: chosen_overwrite(params),
            )

    def _check_files(self) -> None:
        """Raise InputError where a model, vocabulary or ontology that lies here cannot be what its setting takes."""
        preset = Choice(self.samples, self.params).preset
        check_models(preset)
        settings = preset.settings()
        for section in ("semantic", "open_vocabulary"):
            if words := settings.get(f"{section}.vocabulary"):
                read_vocabulary(words)
            if classes := settings.get(f"{section}.ontology"):
                Ontology.load(classes)

    def _check_names(self) -> None:
        """Raise InputError where one of a person's own names can be none."""
        if names := own_names(self.params["vocabulary"]):
            read_vocabulary("".join(f"{name}\n" for name in names))

    def _check_map(self) -> None:
        """Raise InputError where no class map is chosen."""
        if not self.params["semantic_field"]:
            raise InputError("this preset has no segmenter: choose the class map that stands in for it")

    def _check_field(self) -> None:
        check_new_name(self.params["label_field"], "the label field")
        Choice(self.samples, self.params).work().check_content(at_most=LOOKED_AT)

    def _tell(self, here: Hardware) -> None:
        """What is in the field, what becomes of it, and how long that takes."""
        chosen = Choice(self.samples, self.params)
        found = preview(chosen.work())
        trial = min(TRIED, found.to_do) if self.params["try_first"] else 0
        count = trial or found.to_do
        what = f" Now {trial} of them." if 0 < trial < found.to_do else ""
        self.form.note("summary", f"{found}{what}{_time(chosen.preset, count, here) if count else ''}")
        missing = facts(chosen.preset).missing
        if absent := [model for model in missing if path_of(model)]:
            self.form.warn("absent", f"Not there, or without weights: {', '.join(absent)}")
        if to_fetch := ", ".join(model for model in missing if not path_of(model)):
            no_hub = f"HF_HUB_OFFLINE is set, so the run will fail; these are not downloaded: {to_fetch}"
            self.form.warn("missing", no_hub if is_offline() else f"The run begins with a download: {to_fetch}")


def _time(preset: Preset, count: int, here: Hardware) -> str:
    seconds = seconds_an_image(preset, here)
    if seconds is None:
        return " How long that takes is not known for these models."
    basis = "estimated for an H100" if here.is_gpu else f"roughly, on {counted(here.cores, 'core')}"
    return f" About {duration(seconds * count)} ({duration(seconds)} an image, {basis})."
