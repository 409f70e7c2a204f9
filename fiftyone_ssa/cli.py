"""The command line: annotate a folder, evaluate results, list presets, check the installation."""

from __future__ import annotations

import os
import sys


def _leave_working_folder_out() -> None:
    """Take no library from the working folder: not with `python -m`, nor for an empty entry of PYTHONPATH (`:/x`)."""
    if __name__ == "__main__" and not sys.flags.safe_path:
        del sys.path[0]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet, and may be shadowed
    except OSError:
        return
    if len(named) > 1 and "" in named and here not in named and here in sys.path:
        sys.path.remove(here)


_leave_working_folder_out()  # before anything is imported from there

import argparse
import json
import logging
import signal
import textwrap
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from fiftyone_ssa.errors import DeviceLostError, InputError, MissingDependencyError
from fiftyone_ssa.files.printable import printable
from fiftyone_ssa.presets import Preset, load_preset, parse_override, preset_names, preset_purpose

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if an image or the GPU failed, 2 for wrong input, 130 if interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        _set_up(arguments.verbose)
        with _stoppable():
            code: int = arguments.command(arguments)
    except (InputError, MissingDependencyError) as error:
        _say_line(f"fiftyone-ssa: {error}", sys.stderr)
        return WRONG_INPUT
    except DeviceLostError as error:
        _say_line(f"fiftyone-ssa: {error}", sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        _say("fiftyone-ssa: interrupted; what is finished is kept, the same command goes on from there", sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our lines has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "fiftyone":
            _say("fiftyone-ssa: this command needs FiftyOne, which is not installed: pip install fiftyone", sys.stderr)
            return WRONG_INPUT
        if arguments.verbose:
            raise
        _say_line(f"fiftyone-ssa: unexpected {type(error).__name__}: {error} (--verbose shows where)", sys.stderr)
        return FAILED
    return code


def _set_up(verbose: bool) -> None:
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_PrintableFormatter("%(levelname)s %(message)s"))
    for name in ("PIL", "matplotlib", "urllib3", "httpx", "httpcore", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("fiftyone", "eta"):
        logging.getLogger(name).propagate = False  # they print for themselves, and the root would repeat it
    try:
        Path.cwd()
    except OSError as error:
        raise InputError("the working folder is gone; change to another one") from error
    if not verbose:
        # FiftyOne tells everyone which MongoDB it will need some day, the one that it brings along included
        logging.getLogger("fiftyone.core.odm.database").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


class _PrintableFormatter(logging.Formatter):
    """Messages on one line each, with what steers a terminal escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a terminal that closes end a run as Ctrl-C does; the second of these signals ends it at once."""
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # Python lets only the main thread handle signals
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is not signal.SIG_IGN}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


def _say(text: object, stream: TextIO | None = None, *, keep: str = "\n") -> None:
    """Print, with what steers a terminal and what its encoding lacks escaped: names may hold anything."""
    out = stream or sys.stdout
    encoding = out.encoding or "utf-8"
    print(printable(text, keep=keep).encode(encoding, "backslashreplace").decode(encoding), file=out)


def _say_line(text: object, stream: TextIO | None = None) -> None:
    """Print what is one line, whatever the names in it hold."""
    _say(text, stream, keep="")


def _annotate(arguments: argparse.Namespace) -> int:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from fiftyone_ssa.folders.annotate import annotate_files

    with logging_redirect_tqdm():
        summary = annotate_files(
            arguments.data_dir,
            arguments.out_dir,
            load_preset(arguments.preset, dict(parse_override(text) for text in arguments.set)),
            device=arguments.device,
            dtype=arguments.dtype,
            batch_size=arguments.batch_size,
            limit=arguments.limit,
            overwrite=arguments.overwrite,
            save_images=arguments.save_images,
            branch_dir=arguments.save_branch,
            trust_remote_code=arguments.trust_remote_code,
            say=_say_line,
        )
    _say_line(summary)
    _list_errors(summary.errors)
    return FAILED if summary.errors else 0


def _list_errors(errors: Mapping[str, str], most: int = 20) -> None:
    for image, reason in list(errors.items())[:most]:
        _say_line(f"FAILED {image}: {reason}", sys.stderr)
    if len(errors) > most:
        _say(f"... and {len(errors) - most} more", sys.stderr)


def _evaluate(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.files.atomic import write_whole
    from fiftyone_ssa.folders.evaluate import evaluate_files

    scores = evaluate_files(
        arguments.results_dir,
        arguments.gt_dir,
        arguments.dataset,
        classes=arguments.classes,
        only_annotated=arguments.only_annotated,
    )
    _say(scores)
    if arguments.json:
        write_whole(arguments.json, (json.dumps(scores.to_json(), indent=1) + "\n").encode())
    return FAILED if scores.errors else 0


def _repaint(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.repaint import repaint

    done = repaint(
        arguments.dataset,
        arguments.label_field,
        preset=arguments.preset,
        overrides=dict(parse_override(text) for text in arguments.set),
        device=arguments.device,
        trust_remote_code=arguments.trust_remote_code,
    )
    _say_line(done)
    _list_errors(done.errors)
    return FAILED if done.errors else 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.calibration import calibrate
    from fiftyone_ssa.labels.repaint import collection

    done = calibrate(
        collection(arguments.dataset, "calibrate"),
        arguments.label_field,
        arguments.gt_field,
        preset=arguments.preset,
        device=arguments.device,
    )
    _say_line(done)
    _list_errors(done.errors)
    return FAILED if done.errors else 0


def _presets(_: argparse.Namespace) -> int:
    from fiftyone_ssa.models.catalogue import is_cached, parameters_m, preset_models

    _say(f"{'preset':<19}{'parameters':>10}  {'downloaded':<12}what for, and its models")
    for name in preset_names():
        preset = load_preset(name)
        models = preset_models(preset)
        size = f"{sum(filter(None, map(parameters_m, models))):,.0f} M"
        here = sum(map(is_cached, models))
        there = "yes" if here == len(models) else f"{here} of {len(models)}"
        _say(f"{name:<19}{size:>10}  {there:<12}{preset_purpose(name)}")
        for line in textwrap.wrap(_parts(preset, models), 100, break_on_hyphens=False):
            _say(f"{'':<19}{line}")
    return 0


def _parts(preset: Preset, models: Sequence[str]) -> str:
    """Where a preset's masks come from, and its other models; those of the package by their folders' names."""
    names = [Path(model).name if model.startswith(("/", "local-dir:")) else model for model in models]
    made = preset.masks.source == "sam"
    masks = names[0] if made else "JSON beside each image"
    what = "segmenter" if preset.pipeline == "ssa" else "parts"
    return f"masks: {masks}; {what}: {', '.join(names[made:])}"


def _doctor(_: argparse.Namespace) -> int:
    from fiftyone_ssa.doctor import examine

    healthy = True
    for check in examine():
        _say(check)
        healthy &= check.ok or not check.required
    return 0 if healthy else FAILED


def _quickstart(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.quickstart.run import open_app, quickstart

    report = quickstart(arguments.samples, device=arguments.device, say=_say)
    _say(f"\n{report}")
    _list_errors(report.errors)
    if arguments.app:
        open_app(_say)
    return FAILED if report.errors else 0


def _clean(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.clean import clean

    _say(clean(arguments.dataset, dry_run=arguments.dry_run))
    return 0


def _install_plugin(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import install_plugin

    _say(f"the App's plugin is installed: {install_plugin()}")
    return 0


def _uninstall_plugin(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import uninstall_plugin

    _say(f"the App's plugin is removed: {uninstall_plugin()}")
    return 0


def _plugin_status(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import NAME, plugin_registration, plugin_status

    status = plugin_status()
    _say(status)
    if not status.enabled:
        mend = f"fiftyone plugins enable {NAME}" if status.installed else "fiftyone-ssa plugin install"
        _say(f"mend: {mend}")
        return FAILED
    registration = plugin_registration()
    _say(registration)
    return FAILED if registration.missing or registration.errors else 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints repeat no escape sequence of what was typed."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message, keep="\n"), file)


def _parser() -> argparse.ArgumentParser:
    from fiftyone_ssa import __version__

    parser = _Parser(prog="fiftyone-ssa", description="Names for masks: Semantic Segment Anything.")
    parser.add_argument("--version", action="version", version=f"fiftyone-ssa {__version__}")
    shared = _Parser(add_help=False)
    shared.add_argument("--verbose", action="store_true", help="log more, and show where an unexpected error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_annotate(commands.add_parser("annotate", parents=[shared], help="name every mask of a folder of images"))
    _add_evaluate(commands.add_parser("evaluate", parents=[shared], help="mIoU of results against ground truth"))
    _add_repaint(
        commands.add_parser("repaint", parents=[shared], help="class maps of a FiftyOne dataset from corrected labels")
    )
    _add_calibrate(
        commands.add_parser("calibrate", parents=[shared], help="confidences of a FiftyOne dataset fitted to its truth")
    )
    _add_quickstart(
        commands.add_parser("quickstart", parents=[shared], help="both pipelines on drawn scenes, then the App")
    )
    _add_clean(commands.add_parser("clean", parents=[shared], help="remove files that no label of a dataset uses"))
    _add_plugin(commands.add_parser("plugin", help="the plugin of FiftyOne's App: install, uninstall, status"), shared)
    commands.add_parser("install-plugin", parents=[shared]).set_defaults(command=_install_plugin)  # its name once
    for name, command, text in (
        ("presets", _presets, "list the presets that come with the package"),
        ("doctor", _doctor, "check the installation, and say what mends it"),
    ):
        commands.add_parser(name, parents=[shared], help=text).set_defaults(command=command)
    return parser


def _add_plugin(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("install", _install_plugin, "link it into FiftyOne's plugins folder"),
        ("uninstall", _uninstall_plugin, "remove that link, and nothing else"),
        ("status", _plugin_status, "where it is, its version, what the App has of it, and what failed"),
    ):
        commands.add_parser(name, parents=[shared], help=text).set_defaults(command=command)


def _add_annotate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data_dir", metavar="DATA_DIR", help="a folder of images, sub-folders included, or one image")
    add("out_dir", metavar="OUT_DIR", help="where <stem>_semantic.json goes, sub-folders kept")
    add(
        "--preset",
        required=True,
        metavar="NAME|FILE.toml",
        help="`fiftyone-ssa presets` lists the names; one with module:factory runs that code",
    )
    _add_models(parser)
    add("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="of models (default: %(default)s)")
    add("--batch-size", type=_number, default=4, metavar="N", help="images at a time (default: %(default)s)")
    add("--limit", type=_number, metavar="N", help="only the first N images")
    add("--overwrite", action="store_true", help="do finished images again, of other settings, too")
    add("--save-images", action="store_true", help="add <stem>_overlay.jpg, a picture with masks and names")
    add(
        "--save-branch",
        metavar="DIR",
        help="write the segmenter's own class map to another folder, to be evaluated beside the refined one",
    )
    parser.set_defaults(command=_annotate)


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="section.key=value",
        help="change a setting, e.g. semantic.vote=soft; may be repeated",
    )
    add("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="where models run (default: %(default)s)")
    add("--trust-remote-code", action="store_true", help="run code that comes with a Hugging Face model")


def _add_repaint(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    add("--label-field", default="ssa", metavar="F", help="its labels (default: %(default)s); F_semantic is painted")
    add(
        "--preset",
        metavar="NAME|FILE.toml",
        help="an SSA preset whose segmenter makes every map to begin with (default: F_branch, or the maps as they are)",
    )
    _add_models(parser)
    parser.set_defaults(command=_repaint)


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    add("--label-field", default="ssa", metavar="F", help="its labels, whose later runs use it (default: %(default)s)")
    add("--gt-field", default="ground_truth", metavar="F", help="the truth: class maps or masks (default: %(default)s)")
    add("--preset", metavar="P", help="fit the weights of this engine preset's fused decision, too; it looks again")
    add("--device", default="auto", metavar="D", help="of that preset's models (default: %(default)s)")
    parser.set_defaults(command=_calibrate)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("results_dir", metavar="RESULTS_DIR", help="a folder that annotate wrote")
    add("gt_dir", metavar="GT_DIR", help="ground truth images under the same sub-folders")
    add("--dataset", choices=["ade20k", "cityscapes", "foggy-driving"], help="classes and file names")
    add(
        "--classes",
        type=Path,
        metavar="FILE",
        help="your own classes instead: a name a line in id order, or JSON {value or #rrggbb: name}; "
        "with --dataset, those of its classes that are scored",
    )
    add("--only-annotated", action="store_true", help="leave images without a result out, instead of as misses")
    add("--json", type=Path, metavar="FILE", help="write the scores there, as fractions")
    parser.set_defaults(command=_evaluate)


def _add_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    parser.add_argument("--dry-run", action="store_true", help="only count, remove nothing")
    parser.set_defaults(command=_clean)


def _add_quickstart(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--no-app", dest="app", action="store_false", help="print the scores and end, without opening the App")
    add("--samples", type=_number, default=50, metavar="N", help="scenes to draw (default: %(default)s)")
    add("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="where models run (default: %(default)s)")
    parser.set_defaults(command=_quickstart)


def _number(text: str) -> int | str:
    """A whole number; what is none is left to the library, which refuses it in the words that Python's users get."""
    try:
        return int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
