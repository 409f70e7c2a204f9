"""`fiftyone-ssa presets`: list the presets that come with the package."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fiftyone_ssa.commands.terminal import say
from fiftyone_ssa.presets import Preset, load_preset, preset_names, preset_purpose


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("presets", parents=[shared], help="list the presets that come with the package")
    parser.set_defaults(command=_presets)


def _presets(_: argparse.Namespace) -> int:
    from fiftyone_ssa.models.catalogue import is_cached, parameters_m, preset_models

    say(f"{'preset':<19}{'parameters':>10}  {'downloaded':<12}what for, and its models")
    for name in preset_names():
        preset = load_preset(name)
        models = preset_models(preset)
        size = f"{sum(filter(None, map(parameters_m, models))):,.0f} M"
        here = sum(map(is_cached, models))
        there = "yes" if here == len(models) else f"{here} of {len(models)}"
        say(f"{name:<19}{size:>10}  {there:<12}{preset_purpose(name)}")
        for line in textwrap.wrap(_parts(preset, models), 100, break_on_hyphens=False):
            say(f"{'':<19}{line}")
    return 0


def _parts(preset: Preset, models: Sequence[str]) -> str:
    """Where a preset's masks come from, and its other models; those of the package by their folders' names."""
    names = [Path(model).name if model.startswith(("/", "local-dir:")) else model for model in models]
    made = preset.masks.source == "sam"
    masks = names[0] if made else "JSON beside each image"
    what = "segmenter" if preset.pipeline == "ssa" else "parts"
    return f"masks: {masks}; {what}: {', '.join(names[made:])}"
