"""`annotate`: names for the masks of a view, by a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.coco_arguments import detections_fields
from fiftyone_ssa.folders.image_folder import masks_beside
from fiftyone_ssa.labels import annotate as library
from fiftyone_ssa.labels.annotate import Job as Work
from fiftyone_ssa.labels.evaluation import segmentation_fields
from fiftyone_ssa.labels.preview import LOOKED_AT, preview
from fiftyone_ssa.models.catalogue import facts, preferred_preset
from fiftyone_ssa.models.hardware import hardware
from fiftyone_ssa.models.speeds import seconds_an_image
from fiftyone_ssa.naming.arguments import DTYPES, LARGEST_BATCH, check_device
from fiftyone_ssa.presets import Preset, load_preset, parse_override

from .forms import Card, Form, check_new_name, given, problem
from .job import Job, Outcome, report
from .preset_cards import OWN_FILE, duration, preset_cards

FIND, BESIDE = "sam", "json"
TRIED = 5
SEED = 51
"""With it FiftyOne's `take` draws the same samples whenever it is asked."""
VOTES = {
    "hard": "the most frequent class under a mask; as published",
    "soft": "the highest mean probability; its confidence warns better of wrong names",
    "core": "soft, without the mask's border; for good masks and a blurry segmenter",
    "blend": "mask and segmenter weighed pixel by pixel; for masks that you do not trust",
}
CLOSED = "Which of the segmenter's classes a mask is; for names of your own choose an engine preset"
MORE: dict[str, Any] = {
    "semantic_field": "",
    "batch_size": 4,
    "dtype": "auto",
    "keep_branch": False,
    "overrides": "",
}
"""What is folded away, until one of them is not as it is here."""
DEFAULTS: dict[str, Any] = {
    "preset": "",
    "preset_file": "",
    "masks": "",
    "masks_field": "",
    "vocabulary": "",
    "only_vocabulary": False,
    "vote": "",
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


class Annotate(Job):
    """Run a preset on the target view."""

    job = "annotate"
    label = "SSA: name masks"
    description = "Find masks, or take those that are there, and give each a name by semantic voting"
    icon = "sell"

    def __call__(
        self, sample_collection: Any, preset: str | None = None, *, delegate: bool = False, **params: Any
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        own = {"preset_file": preset, "preset": OWN_FILE} if str(preset).endswith(".toml") else {"preset": preset}
        if params.get("overwrite") == "everything":  # said once in Python, twice in the form
            params |= {"overwrite": True, "everything": True, "everything_sure": True}
        return self.call(sample_collection, {**own, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """What is named, by which preset, from which masks, into which field, and what comes of it."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples = form.target(ctx)
        if not form.refused(lambda: library.check_samples(samples)):
            _Questions(form, samples).ask()

    def launch(self, ctx: Any, *, apart: bool) -> dict[str, Any]:
        """Start it; the images of a trial are shown at once, and their masks as soon as they are named."""
        answer: dict[str, Any] = super().launch(ctx, apart=apart)
        if ctx.params.get("try_first"):
            ctx.ops.set_view(name=_save_trial(ctx.target_view(), given(ctx.params, DEFAULTS)))
        return answer

    def run(self, ctx: Any) -> Outcome:
        """Annotate."""
        params, samples = given(ctx.params, DEFAULTS), ctx.target_view()
        if params["try_first"]:
            samples = _trial(samples)
        chosen = _Chosen(samples, params)
        summary = library.annotate(
            samples,
            chosen.preset,
            label_field=params["label_field"],
            masks_field=chosen.masks_field,
            semantic_field=params["semantic_field"] or None,
            device=params["device"],
            dtype=params["dtype"],
            batch_size=int(params["batch_size"]),
            overwrite=_overwrite(params),
            keep_branch=params["keep_branch"],
            progress=report(ctx),
        )
        shown = f"; they are the saved view {_save_trial(samples, params)!r}" if params["try_first"] else ""
        return Outcome(f"{summary}{shown}", summary.errors)


class _Chosen:
    """What a form's values come to: the preset with its changes, and where masks come from."""

    def __init__(self, samples: Any, params: dict[str, Any]) -> None:
        """Raises InputError for a preset, a change or a field that is none."""
        self.samples, self.params = samples, params
        self.base = _base_preset(params)
        self.masks = params["masks_field"] or params["masks"] or _usual_masks(samples, self.base)

    @property
    def masks_field(self) -> str | None:
        """The field that masks are taken from, if they are."""
        return None if self.masks in (FIND, BESIDE) else self.masks

    @property
    def preset(self) -> Preset:
        """The preset with what the form changes in it, the user's own changes last."""
        params = self.params
        changes: dict[str, Any] = {"masks.source": "sam" if self.masks == FIND else "existing"}
        if self.base.pipeline == "ssa" and params["vote"]:
            changes["semantic.vote"] = params["vote"]
        if self.base.pipeline == "engine" and params["vocabulary"].strip():
            changes["open_vocabulary.vocabulary"] = f"{params['vocabulary'].strip()}\n"
            if params["only_vocabulary"]:
                changes |= {"open_vocabulary.segmenters": (), "open_vocabulary.captioner": ""}
        return load_preset(self.base, changes | _overrides(params))

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
        )


class _Questions:
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
            form.text("preset_file", label="TOML file", description="A path on this machine", check=self._base)
        if form.wrong:
            return
        base = _base_preset(params)
        self._ask_sources(base)
        self._ask_more(base)
        self._ask_field()
        form.device()
        form.switch(
            "try_first",
            label=f"Try it on {TRIED} images first",
            description="Always the same ones; they open as a saved view. Run it again without this for the rest",
        )
        if not form.wrong:
            self._tell(here.is_gpu)
        form.put_last("more", *MORE)

    def _base(self) -> Preset:
        return _base_preset(self.params)

    def _ask_sources(self, base: Preset) -> None:
        """Where masks come from, and names."""
        form, params = self.form, self.params
        params["masks"] = params["masks_field"] or params["masks"] or _usual_masks(self.samples, base)
        sources = [Card(FIND, "Find them with SAM"), Card(BESIDE, "Take them from the .json beside each image (SA-1B)")]
        sources += [Card(name, f"Take those of the field {name}") for name in self.fields]
        form.choice("masks", sources, label="Masks", check=self._check_masks)
        if base.pipeline == "ssa":
            params["vote"] = params["vote"] or base.semantic.vote
            votes = [Card(name, f"{name}: {line}") for name, line in VOTES.items()]
            form.choice("vote", votes, label="Vote", description=CLOSED)
            return
        form.text(
            "vocabulary",
            label="Your own names",
            description="One a line, offered for every mask beside what the models propose; may stay empty",
            lines=True,
        )
        if isinstance(params["vocabulary"], str) and params["vocabulary"].strip():
            form.switch(
                "only_vocabulary",
                label="Only these names",
                description="Nothing else is proposed: faster, and every mask gets one of them",
            )

    def _check_masks(self) -> None:
        """Raise InputError where masks are to lie beside the images, and the first has none."""
        first = self.samples.limit(1).values("filepath") if self.params["masks"] == BESIDE else []
        for path in map(masks_beside, map(Path, first)):
            if not path.is_file():
                raise InputError(f"{path} is not there: masks would be read from the .json beside each image")

    def _ask_more(self, base: Preset) -> None:
        """What few need, under a switch that is on where one of it is not as usual."""
        form, params = self.form, self.params
        changed = any(params[name] != usual for name, usual in MORE.items())
        if not form.switch("more", label="More settings") and not changed:
            return
        if base.pipeline == "ssa":
            form.choice(
                "semantic_field",
                segmentation_fields(self.samples),
                label="Existing class map",
                description="A field that stands in for the segmenter; empty: run the segmenter",
            )
            form.switch("keep_branch", label="Keep the segmenter's own map beside the refined one")
        form.number("batch_size", label="Images at a time", high=LARGEST_BATCH)
        form.choice("dtype", DTYPES, label="Number type", description="auto: bfloat16 on a GPU, float32 on a CPU")
        form.text(
            "overrides",
            label="Changes to the preset",
            description="One section.key=value a line, for example masks.points_per_side=32",
            lines=True,
            check=lambda: _overrides(params) and _Chosen(self.samples, params).preset,
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
        if not held and not params["overwrite"]:
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
                check=lambda: _overwrite(params),
            )

    def _check_field(self) -> None:
        check_new_name(self.params["label_field"], "the label field")
        _Chosen(self.samples, self.params).work().check_content(at_most=LOOKED_AT)

    def _tell(self, gpu: bool) -> None:
        """What is in the field, what becomes of it, and how long that takes."""
        chosen = _Chosen(self.samples, self.params)
        found = preview(chosen.work())
        trial = min(TRIED, found.to_do) if self.params["try_first"] else 0
        count = trial or found.to_do
        what = f" Now {trial} of them:" if trial else ""
        self.form.note("summary", f"{found}{what}{_time(chosen.preset, count, gpu) if count else ''}")
        missing = facts(chosen.preset).missing
        if missing:
            self.form.warn("missing", f"The run begins with a download: {', '.join(missing)}")


def _time(preset: Preset, count: int, gpu: bool) -> str:
    seconds = seconds_an_image(preset, gpu=gpu)
    if seconds is None:
        return " How long that takes is not known for these models."
    basis = "estimated for an H100, no GPU has run this yet" if gpu else "roughly, on two CPU cores"
    return f" About {duration(seconds * count)} ({duration(seconds)} an image, {basis})."


def _base_preset(params: dict[str, Any]) -> Preset:
    """The preset that is chosen, as it stands. Raises InputError where there is none."""
    if params["preset"] == OWN_FILE:
        if not params["preset_file"]:
            raise InputError("name a TOML file, or choose one of the presets")
        return load_preset(params["preset_file"])
    if params["preset"]:
        return load_preset(params["preset"])
    here = hardware(params["device"])
    return load_preset(preferred_preset(gpu=here.is_gpu, free_gb=here.free_gb))


def _overrides(params: dict[str, Any]) -> dict[str, Any]:
    return dict(parse_override(line) for line in params["overrides"].splitlines() if line.strip())


def _usual_masks(samples: Any, preset: Preset) -> str:
    """Where a preset's masks come from here: it names SAM, or masks that are there, beside the images or in a field."""
    if preset.masks.source == "sam":
        return FIND
    first = samples.limit(1).values("filepath")
    if any(masks_beside(Path(path)).is_file() for path in first):
        return BESIDE
    return next(iter(detections_fields(samples)), BESIDE)


def _trial(samples: Any) -> Any:
    """The few samples of a collection that are tried first, the same ones every time."""
    ids = samples.take(TRIED, seed=SEED).values("id")
    return samples.select(ids)


def _save_trial(samples: Any, params: dict[str, Any]) -> str:
    """Keep the samples of a trial as a saved view, and answer its name."""
    dataset, name = samples._root_dataset, f"try {params['label_field']}"
    dataset.save_view(name, dataset.select(_trial(samples).values("id")), overwrite=True)
    return name


def _overwrite(params: dict[str, Any]) -> Any:
    """What the library's `overwrite` is; "everything" has to be said twice."""
    if params["overwrite"] and params["everything"]:
        if not params["everything_sure"]:
            raise InputError("this cannot be undone: say yes, or leave what people touched as it is")
        return "everything"
    return params["overwrite"]
