"""What an image costs the processor that feeds a GPU, counted without one: `python -m benchmarks.host [--masks N]`.

SSA-engine on an image of 1500x2250 with 100 masks, from a JPEG and a JSON file to a JSON file. First launches and waits
(`benchmarks._counts`) with models as deep as engine-base's and as narrow as the tests'. Then milliseconds of processor
time, all threads together: what a device would compute is answered from a first run, so that the rest is the host's
own, in one run: decoding, masks, votes, ranking, cropping, texts of tokens, questions, results. Launching is not in it.
Beside them what Pillow's decoder alone takes for the same JPEG, by which machines can be compared, what of the time was
the kernel's, and how many pages it gave. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any
from unittest import mock

import PIL.Image
import torch

from benchmarks._architectures import parity_models
from benchmarks._cases import inputs_of, load_engine, made_up_case
from benchmarks._counts import as_on_a_gpu, counting, deep_models
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.folders.sa1b_json import annotation_record, read_masks
from fiftyone_ssa.models import ragged
from fiftyone_ssa.models.ragged import Ragged
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.naming.phrases import NounPhrases
from fiftyone_ssa.types import Annotation, Inputs

CPU = torch.device("cpu")
RUNS = 5


def counts(masks: int) -> dict[str, Any]:
    """Launches by stage, the decider's a mask, and waits by place, of one image; a smaller one takes the same."""
    with tempfile.TemporaryDirectory() as folder:
        engine = load_engine(deep_models(Path(folder)), CPU, torch.float32)
    inputs = inputs_of(*made_up_case(masks, (300, 450)))
    watches: dict[str, Any] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        with counting() as watches[name]:
            yield

    with as_on_a_gpu(engine):
        engine([inputs])  # names are embedded once a run
        with mock.patch.object(engine, "_stage", stage):
            engine([inputs])
    launches = {name: sum(watch.launches.values()) for name, watch in watches.items()}
    waits = {place: times for watch in watches.values() for place, times in watch.waits.items()}
    return {
        "launches": launches,
        "launches_of_the_decider_a_mask": round(launches["decide"] / masks, 2),
        "waits": sum(waits.values()),
        "waits_by_place": waits,
    }


def host_ms(masks: int, size_hw: tuple[int, int] = (1500, 2250)) -> dict[str, Any]:
    """Milliseconds of processor time of one image beside what a device computes, the best of several runs; by stage.

    Under `runs`, of every run: all of it, Pillow's decoder alone, the kernel's part, and how many pages it gave.
    """
    engine = load_engine(parity_models(), CPU, torch.float32)
    engine.keep_embeddings = False
    with tempfile.TemporaryDirectory() as name, as_on_a_gpu(engine):
        folder = Path(name)
        image, records = made_up_case(masks, size_hw)
        image.save(folder / "image.jpg", quality=90)
        for record in records:
            record["segmentation"]["counts"] = record["segmentation"]["counts"].decode()
        (folder / "image.json").write_text(json.dumps({"annotations": records}))
        if isinstance(engine.phrases, NounPhrases):  # read in another process on a GPU, and new for every image
            engine.phrases = _Recorded(engine.phrases)
        with _played_back(engine) as rewind:
            _run(engine, folder, {})
            found = []
            for _ in range(RUNS):
                rewind()
                found.append(_timed(engine, folder))
    runs = [run for _, run in found]
    stages, _ = min(found, key=lambda one: one[0]["in all"])
    return {**stages, "Pillow's decoder alone": min(run["Pillow's decoder alone"] for run in runs), "runs": runs}


def _timed(engine: Any, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    stages: dict[str, float] = {}
    before, began = getrusage(RUSAGE_SELF), time.process_time()
    _run(engine, folder, stages)
    taken, after = _ms_since(began), getrusage(RUSAGE_SELF)
    began = time.process_time()
    with PIL.Image.open(folder / "image.jpg") as picture:
        picture.load()
    run = {
        "in all": taken,
        "Pillow's decoder alone": _ms_since(began),
        "in the kernel": round((after.ru_stime - before.ru_stime) * 1e3, 1),
        "pages": after.ru_minflt - before.ru_minflt,
    }
    return {"in all": taken, **stages}, run


def _ms_since(began: float) -> float:
    return round((time.process_time() - began) * 1e3, 1)


def _run(engine: Any, folder: Path, stages: dict[str, float]) -> None:
    """From files to a file; milliseconds by stage."""

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        stages[name] = _ms_since(began)

    with stage("JPEG"):
        pixels = read_image(folder / "image.jpg")
    with stage("masks from JSON"):
        masks = read_masks(folder / "image.json", (pixels.shape[0], pixels.shape[1]))
    with stage("pinned copy"):
        pixels.copy()  # what brings it to a device
    with mock.patch.object(engine, "_stage", stage):
        (annotation,) = engine([Inputs(pixels, masks)])
    with stage("results as JSON"):
        _write(annotation, folder / "image_semantic.json")


def _write(annotation: Annotation, path: Path) -> None:
    path.write_text(json.dumps(annotation_record(annotation, {}), ensure_ascii=False))


class _Recorded:
    """Answers in their order from what a first run answered."""

    def __init__(self, function: Callable[..., Any], host: Callable[..., Any] = lambda *_, **__: None) -> None:
        self._function, self._host = function, host
        self._answers: list[Any] = []
        self.turn = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._host(*arguments, **options)
        if self.turn == len(self._answers):
            self._answers.append(self._function(*arguments, **options))
        self.turn += 1
        return self._answers[self.turn - 1]


@contextmanager
def _played_back(engine: Any) -> Iterator[Callable[[], None]]:
    """Let what a device computes be answered from the first time it is asked; yields what begins anew."""
    captioner, chosen, decider = engine.captioner, engine.class_filter, engine.decider
    assert isinstance(decider._ends, Ragged)
    side = decider._ends._side
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        *((segmenter, "_scores", lambda *_: None) for _, segmenter in engine.segmenters),
        (captioner, "_encode", lambda *_: None),
        (captioner, "_writer", lambda *_: None),
        (chosen, "_embed_images", lambda *_: None),
        (chosen._network, "encode_text", lambda *_: None),
        (decider._ends, "patches", lambda *_: None),
        (decider, "_one_pass", lambda **_: None),
        (decider._ends._spread, "forward", lambda *_: None),
        (decider._ends, "_count", lambda chunk, _: ragged.facts_of(chunk, side)),
    ]
    recorded = [_Recorded(getattr(owner, name), host) for owner, name, host in places]
    maps = _Recorded(ClassScores._best)
    with ExitStack() as stack:
        for (owner, name, _), record in zip(places, recorded, strict=True):
            stack.enter_context(mock.patch.object(owner, name, record))
        stack.enter_context(mock.patch.object(ClassScores, "_best", lambda *asked: maps(*asked)))
        every = [*recorded, maps, *([engine.phrases] if isinstance(engine.phrases, _Recorded) else [])]

        def rewind() -> None:
            for record in every:
                record.turn = 0

        yield rewind


def main() -> None:
    """Print what was counted and measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description=__doc__)
    parser.add_argument("--masks", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({**counts(options.masks), "host_ms": host_ms(options.masks)}, indent=2))


if __name__ == "__main__":
    main()
