"""Memory that runs out in the middle of a model: smaller batches go on, and name every mask as if nothing had been.

Torch's operations are counted; the k-th of a stage finds no room, or each that makes more than so many bytes does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fiftyone_ssa.models.devices import Chunks
from fiftyone_ssa.naming import engine as engine_module
from fiftyone_ssa.naming.engine import Engine, build_engine
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.run import Pipeline, Task, run
from fiftyone_ssa.presets import Masks, OpenVocabulary, Preset, load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Annotation, Inputs, Result
from tests.naming.plain_engine import read_case
from tests.naming.test_engine import inputs_of

CPU = torch.device("cpu")
STAGES = ("segment", "caption", "filter", "rank", "decide")


class Memory(TorchDispatchMode):
    """Counts operations; `fails` says of each, by its number and the bytes that it makes, whether there is no room."""

    def __init__(self, fails: Callable[[int, int], bool] = lambda *_: False) -> None:
        super().__init__()
        self.fails = fails
        self.count = 0
        self.largest = 0
        self.refused = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor) and leaf._base is None]
        size = max((leaf.numel() * leaf.element_size() for leaf in made), default=0)
        self.count += 1
        self.largest = max(self.largest, size)
        if self.fails(self.count, size):
            self.refused += 1
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
        return out


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """An operation is counted in the thread that counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images(parity: Path) -> list[Inputs]:
    """Two photographs of five masks each."""
    found = []
    for stem in ("chelsea", "coffee"):
        image, annotations = read_case(parity / "inputs", stem)
        found.append(inputs_of(image, annotations[:5]))
    return found


@pytest.fixture(scope="module")
def engine(parity: Path) -> Engine:
    models = parity / "models"
    settings = OpenVocabulary(
        segmenters=(str(models / "oneformer-coco"),),
        captioner=str(models / "blip"),
        class_filter=f"local-dir:{models / 'clip'}",
        decider=str(models / "clipseg"),
        phrases="raw",
    )
    return build_engine(
        Preset("parity", "engine", Masks(source="existing"), open_vocabulary=settings), CPU, torch.float32
    )


def chunks_in(part: Any, depth: int = 0) -> Iterator[Chunks]:
    """Every batch size that a pipeline keeps, however deep."""
    if isinstance(part, Chunks):
        yield part
    elif type(part).__module__.startswith("fiftyone_ssa") and depth < 4:
        for value in vars(part).values():
            for each in value if isinstance(value, list | tuple) else [value]:
                for one in each if isinstance(each, tuple) else [each]:
                    yield from chunks_in(one, depth + 1)


@contextmanager
def fresh(pipeline: Pipeline) -> Iterator[None]:
    """The batch sizes as they were, afterwards."""
    sizes = [(chunks, chunks.size, chunks.parallel) for chunks in chunks_in(pipeline)]
    yield
    for chunks, size, parallel in sizes:
        chunks.size, chunks.parallel = size, parallel


def results(pipeline: Pipeline, images: list[Inputs], memory: Memory, batch_size: int = 2) -> list[Result]:
    tasks = [Task(str(index), partial(lambda inputs: inputs, inputs)) for index, inputs in enumerate(images)]
    with fresh(pipeline), memory:
        return list(run(tasks, pipeline, batch_size=batch_size))


def names(found: list[Result]) -> list[Any]:
    """All that is said in words, of every mask."""
    assert [result.error for result in found] == [None] * len(found)
    every = [result.annotation for result in found if isinstance(result.annotation, Annotation)]
    return [(one.masks.rles, one.labels, one.captions, [p.names for p in one.proposals]) for one in every]


@pytest.fixture(scope="module")
def expected(engine: Engine, images: list[Inputs]) -> tuple[list[Any], dict[str, tuple[int, int]]]:
    """What is named with room enough, and which operations belong to which stage."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    memory, spans = Memory(), {}
    stage = engine._stage

    @contextmanager
    def counted(name: str) -> Iterator[None]:
        before = memory.count
        with stage(name):
            yield
        spans[name] = (before + 1, memory.count)

    with pytest.MonkeyPatch.context() as patch:
        results(engine, images, Memory())  # names are embedded once a run
        patch.setattr(engine, "_stage", counted)
        named = names(results(engine, images, memory))
    torch.set_num_threads(threads)
    return named, spans


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("stage", STAGES)
def test_the_engine_goes_on_wherever_memory_ran_out_once(
    stage: str,
    share: float,
    engine: Engine,
    images: list[Inputs],
    expected: tuple[list[Any], dict[str, tuple[int, int]]],
) -> None:
    named, spans = expected
    first, last = spans[stage]
    place = round(first + share * (last - first))
    memory = Memory(lambda number, _: number == place)
    assert names(results(engine, images, memory)) == named
    assert memory.refused == 1


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_engine_goes_on_with_half_the_memory(
    batch_size: int, engine: Engine, images: list[Inputs], expected: tuple[list[Any], Any]
) -> None:
    """No tensor may be larger than what the largest one takes where every batch is of one."""
    full, single = Memory(), Memory()
    with fresh(engine):
        results(engine, images, full, batch_size)
        for chunks in chunks_in(engine):
            chunks.size = 1
        results(engine, images, single, 1)
    memory = Memory(lambda _, size: size > single.largest)
    assert names(results(engine, images, memory, batch_size)) == expected[0]
    assert memory.refused > 0 or full.largest == single.largest


@pytest.mark.parametrize("what", ["images_on", "count_classes"])
def test_uploads_and_votes_that_find_no_room_are_made_again(
    what: str,
    engine: Engine,
    images: list[Inputs],
    expected: tuple[list[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, asked = getattr(engine_module, what), []

    def scarce(*arguments: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            raise MemoryError("Unable to allocate 8.00 GiB")
        return whole(*arguments)

    monkeypatch.setattr(engine_module, what, scarce)
    assert names(results(engine, images, Memory())) == expected[0]
    assert len(asked) > 2


def test_texts_that_find_no_room_are_embedded_in_smaller_batches(
    engine: Engine, images: list[Inputs], expected: tuple[list[Any], Any]
) -> None:
    for part in (engine.class_filter, engine.decider):
        part._known._kept.clear()  # type: ignore[union-attr]
        embed = part._texts.size  # type: ignore[union-attr]
        assert embed > 1
    rows = engine.class_filter._texts.size  # type: ignore[attr-defined]
    embedded: list[int] = []
    once = engine.class_filter._embed_texts  # type: ignore[attr-defined]

    def scarce(texts: list[str]) -> Any:
        embedded.append(len(texts))
        if len(texts) > rows // 4:
            raise torch.OutOfMemoryError("no room")
        return once(texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.class_filter, "_embed_texts", scarce)
        assert names(results(engine, images, Memory())) == expected[0]
    assert embedded[:3] == [rows, rows // 2, rows // 4]


def test_an_image_for_which_there_is_no_room_fails_alone(engine: Engine, images: list[Inputs]) -> None:
    """The decider never has room while the second image is worked on, whatever the batch."""
    doomed = images[1].image[0, 0].tolist()
    decide = engine.decider._decide  # type: ignore[union-attr]

    def scarce(chunk: Any) -> Any:
        if any(question.image[0, 0].tolist() == doomed for question in chunk):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return decide(chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.decider, "_decide", scarce)
        found = results(engine, [images[0], images[1], images[0]], Memory(), 3)
    assert [result.error is None for result in found] == [True, False, True]
    assert str(found[1].error).startswith("out of memory with this image alone, in the decider (CUDA out of memory.")
    assert names([found[0]]) == names([found[2]])


@pytest.fixture(scope="module")
def ssa() -> tuple[Pipeline, list[Inputs], list[Any], int]:
    """mini-ssa, SAM included, two scenes, what is named there and in how many operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few = {"masks.points_per_side": 6, "masks.crop_n_layers": 0}
    pipeline = build_pipeline(load_preset("mini-ssa", few), device="cpu")
    images = [Inputs(draw_scene(seed, (96, 120)).image) for seed in (3, 4)]
    results(pipeline, images, Memory())  # what is made once is there
    memory = Memory()
    named = names(results(pipeline, images, memory))
    torch.set_num_threads(threads)
    assert all(labels for _, labels, _, _ in named)
    return pipeline, images, named, memory.count


@pytest.mark.parametrize("share", np.linspace(0.001, 0.999, 8).tolist())
def test_sam_and_the_segmenter_go_on_wherever_memory_ran_out_once(
    share: float, ssa: tuple[Pipeline, list[Inputs], list[Any], int]
) -> None:
    pipeline, images, named, count = ssa
    memory = Memory(lambda number, _: number == round(share * count))
    assert names(results(pipeline, images, memory)) == named
    assert memory.refused == 1
