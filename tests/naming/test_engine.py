from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming import engine as engine_module
from fiftyone_ssa.naming.engine import Candidate, Engine, build_engine, source_name
from fiftyone_ssa.presets import Masks, OpenVocabulary, Preset, load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Annotation, Inputs, MaskSet, SemanticMap
from tests.naming.plain_engine import PlainEngine, read_case

CPU = torch.device("cpu")
STEMS = ("chelsea", "coffee", "rocket")
Build = Callable[..., Engine]


def settings(parity: Path, **changes: Any) -> OpenVocabulary:
    models = parity / "models"
    return dataclasses.replace(
        OpenVocabulary(
            segmenters=(str(models / "oneformer-coco"), str(models / "oneformer-ade20k")),
            captioner=str(models / "blip"),
            class_filter=f"local-dir:{models / 'clip'}",
            decider=str(models / "clipseg"),
            phrases="raw",
        ),
        **changes,
    )


@pytest.fixture(scope="module")
def build(parity: Path) -> Build:
    def engine(device: torch.device = CPU, dtype: torch.dtype = torch.float32, **changes: Any) -> Engine:
        preset = Preset("parity", "engine", Masks(source="existing"), open_vocabulary=settings(parity, **changes))
        return build_engine(preset, device, dtype)

    return engine


@pytest.fixture(scope="module")
def engine(build: Build) -> Engine:
    return build()


@pytest.fixture(scope="module")
def plain(parity: Path) -> PlainEngine:
    chosen = settings(parity)
    return PlainEngine(list(chosen.segmenters), chosen.captioner, chosen.class_filter, chosen.decider)


def inputs_of(image: Image.Image, annotations: list[dict[str, Any]]) -> Inputs:
    pixels = np.array(image)
    masks = mask_set(
        (pixels.shape[0], pixels.shape[1]),
        [annotation["segmentation"]["counts"] for annotation in annotations],
        source_boxes_xywh=[annotation["bbox"] for annotation in annotations],
    )
    return Inputs(pixels, masks)


@pytest.fixture(scope="module")
def batch(parity: Path) -> list[Inputs]:
    return [inputs_of(*read_case(parity / "inputs", stem)) for stem in STEMS]


@pytest.fixture(scope="module")
def annotations(engine: Engine, batch: list[Inputs]) -> list[Annotation]:
    return engine(batch)


def everything(annotation: Annotation) -> list[Any]:
    return [
        annotation.labels,
        annotation.confidences.tolist(),
        annotation.proposals,
        annotation.captions,
        annotation.label_sources,
    ]


def one_image(parity: Path, masks: list[np.ndarray], **columns: Any) -> Inputs:
    image = np.array(Image.open(parity / "inputs" / "chelsea.png").convert("RGB"))
    return Inputs(image, mask_set((300, 451), [encode(mask) for mask in masks], **columns))


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((300, 451), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_every_name_and_proposal_is_the_published_engines(annotations: list[Annotation], parity: Path) -> None:
    for stem, annotation in zip(STEMS, annotations, strict=True):
        record = json.loads((parity / "expected" / "engine" / f"{stem}_semantic.json").read_text())
        expected = [(entry["class_name"], entry["class_proposals"]) for entry in record["annotations"]]
        found = zip(annotation.labels, annotation.proposals, strict=True)
        assert [(label, list(proposals.names)) for label, proposals in found] == expected


GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize(
    ("device", "dtype"), [("cpu", torch.float16), pytest.param("cuda:0", torch.bfloat16, marks=GPU)]
)
def test_half_precision_names_as_float32_does(
    device: str, dtype: torch.dtype, build: Build, batch: list[Inputs], annotations: list[Annotation]
) -> None:
    """Of random models, which tell names apart by less than rounding does, nearly all; on a GPU trained ones, too."""
    half = build(device=torch.device(device), dtype=dtype)
    some = slice(0 if device != "cpu" else 2, None)  # a CPU is slow in half precision
    assert equal_labels(half(batch[some]), annotations[some]) >= 0.98
    if device != "cpu":
        scenes = [draw_scene(50_000 + seed, (160, 240)) for seed in range(4)]
        batch = [Inputs(scene.image, scene.mask_set()) for scene in scenes]
        trained = [
            build_engine(load_preset("mini-engine"), torch.device(device), dtype)(batch)
            for dtype in (torch.float32, torch.bfloat16)
        ]
        assert equal_labels(*trained) >= 0.98


def equal_labels(ones: list[Annotation], others: list[Annotation]) -> float:
    pairs = [
        (a, b) for one, other in zip(ones, others, strict=True) for a, b in zip(one.labels, other.labels, strict=True)
    ]
    return sum(a == b for a, b in pairs) / len(pairs)


def test_what_is_kept_of_a_mask(annotations: list[Annotation]) -> None:
    rocket = annotations[2]
    assert rocket.captions[0] == "a dark wall on the wall"
    assert rocket.proposals[0].names == ("screen", "food", "a dark wall")
    assert rocket.proposals[0].scores == pytest.approx((0.53319, 0.37543, 0.07037), abs=1e-4)
    assert (rocket.labels[0], rocket.label_sources[0]) == ("a dark wall", "caption")
    assert 0 < rocket.confidences[0] < 0.42303  # the decider's share, and how well the name fits at all
    assert rocket.similarities is not None
    assert -1 < rocket.similarities[0] < 1
    assert {source for annotation in annotations for source in annotation.label_sources} == {
        "coco",
        "ade20k",
        "caption",
    }


def test_the_filter_decides_by_itself(build: Build, batch: list[Inputs], annotations: list[Annotation]) -> None:
    engine = build(decider="filter")
    assert engine.decider is None
    for found, published in zip(engine(batch), annotations, strict=True):
        assert found.proposals == published.proposals
        assert found.labels == tuple(proposals.names[0] for proposals in found.proposals)
        best = np.array([proposals.scores[0] for proposals in found.proposals])
        assert ((found.confidences > 0) & (found.confidences < best)).all()
        assert None not in found.label_sources


@pytest.mark.parametrize("decider", ["filter", "clipseg"])
def test_a_fused_decision(build: Build, batch: list[Inputs], parity: Path, decider: str) -> None:
    named = {"decider": str(parity / "models" / "clipseg")} if decider == "clipseg" else {"decider": "filter"}
    engine = build(decision="fused", phrases="head", **named)
    together = engine(batch)
    for found, inputs in zip(together, batch, strict=True):
        assert everything(engine([inputs])[0]) == everything(found)
        for index, label in enumerate(found.labels):
            names, scores = found.proposals[index].names, found.proposals[index].scores
            assert label == names[0]
            assert 0 < found.confidences[index] < scores[0]
            assert list(scores) == sorted(scores, reverse=True)
            assert len(names) == 3
            assert 0 < sum(scores) <= 1 + 1e-9
            assert found.label_sources[index] in ("coco", "ade20k", "caption")
    # names of other masks are considered, too
    shared = [{name for proposals in found.proposals for name in proposals.names} for found in together]
    assert any(len(names) < 3 * len(found.labels) for names, found in zip(shared, together, strict=True))


def test_a_fused_decision_of_one_mask_no_mask_and_no_name(build: Build, parity: Path) -> None:
    words = "lorry\nhorse\n"
    engine = build(decision="fused", segmenters=(), captioner="", vocabulary=words, decider="filter")
    (annotation,) = engine([one_image(parity, [rectangle(10, 10, 60, 60), rectangle(0, 0, 0, 0)])])
    assert annotation.labels[0] in ("lorry", "horse")
    assert (annotation.labels[1], annotation.label_sources) == (None, ("vocabulary", None))
    assert 0 < annotation.confidences[0] < annotation.proposals[0].scores[0] < 1
    assert engine([Inputs(np.zeros((9, 9, 3), np.uint8), MaskSet.empty((9, 9)))])[0].labels == ()
    silent = build(decision="fused", segmenters=())
    silent.captioner = lambda groups: [["", "running fast"]]  # type: ignore[assignment]
    (annotation,) = silent([one_image(parity, [rectangle(10, 10, 60, 60), rectangle(20, 20, 90, 70)])])
    assert annotation.labels == (None, None)


def test_the_filter_names_no_mask_outside_its_crop(build: Build, parity: Path) -> None:
    boxes = [[10, 10, 49, 49], [300, 200, 20, 20]]
    (annotation,) = build(decider="filter")(
        [one_image(parity, [rectangle(10, 10, 60, 60)] * 2, source_boxes_xywh=boxes)]
    )
    assert [label is None for label in annotation.labels] == [False, True]
    assert len(annotation.proposals[1].names) == 3


def test_no_bit_depends_on_the_batch(engine: Engine, batch: list[Inputs], annotations: list[Annotation]) -> None:
    alone = [engine([inputs])[0] for inputs in batch]
    turned = engine(batch[::-1])[::-1]
    for together, single, other in zip(annotations, alone, turned, strict=True):
        assert everything(together) == everything(single) == everything(other)


def test_what_clip_saw_is_kept_on_request(
    engine: Engine, build: Build, batch: list[Inputs], annotations: list[Annotation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "keep_embeddings", True)
    kept = engine(batch)
    assert [everything(annotation) for annotation in kept] == [everything(annotation) for annotation in annotations]
    assert all(annotation.embeddings is None for annotation in annotations)
    for inputs, annotation in zip(batch, kept, strict=True):
        assert inputs.masks is not None
        assert annotation.embeddings is not None
        (alone,) = engine([inputs])
        np.testing.assert_array_equal(alone.embeddings, annotation.embeddings)
        image = torch.from_numpy(inputs.image)
        crops = [Candidate(image, inputs.masks, index).crop(1.2) for index in range(len(inputs.masks))]
        (looks,) = engine.class_filter.images([crops])
        np.testing.assert_array_equal(annotation.embeddings, looks.astype(np.float16))
        np.testing.assert_allclose(np.linalg.norm(annotation.embeddings.astype(float), axis=1), 1, atol=1e-3)


def test_an_empty_mask_has_an_embedding_of_zeros(engine: Engine, parity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "keep_embeddings", True)
    both, none = engine(
        [
            one_image(parity, [rectangle(0, 0, 0, 0), rectangle(10, 10, 60, 60)]),
            one_image(parity, [rectangle(0, 0, 0, 0)]),
        ]
    )
    assert both.embeddings is not None
    assert none.embeddings is not None
    assert both.embeddings.any(axis=1).tolist() == [False, True]
    assert not none.embeddings.any()
    assert len(none.embeddings) == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_bit_depends_on_the_threads(
    threads: int, engine: Engine, batch: list[Inputs], annotations: list[Annotation]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert [everything(found) for found in engine(batch)] == [everything(expected) for expected in annotations]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_failure_is_raised_and_the_next_batch_is_done(
    engine: Engine, batch: list[Inputs], annotations: list[Annotation], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, captions = torch.get_num_threads(), engine.captioner
    monkeypatch.setattr(engine, "captioner", lambda groups: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine(batch)
    monkeypatch.setattr(engine, "captioner", captions)
    assert torch.get_num_threads() == threads
    assert [found.labels for found in engine(batch)] == [expected.labels for expected in annotations]


def test_no_bit_depends_on_the_hash_seed(parity: Path, tmp_path: Path, annotations: list[Annotation]) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.naming.test_engine import answer_to_a_case\n"
        "Path(sys.argv[2]).write_text(answer_to_a_case(Path(sys.argv[1]), 'chelsea'))"
    )
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, parity, tmp_path / "answer"], env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "answer").read_text() == repr(everything(annotations[0]))


def answer_to_a_case(parity: Path, stem: str) -> str:
    preset = Preset("parity", "engine", Masks(source="existing"), open_vocabulary=settings(parity))
    engine = build_engine(preset, CPU, torch.float32)
    return repr(everything(engine([inputs_of(*read_case(parity / "inputs", stem))])[0]))


def test_many_small_masks_are_named_as_one_by_one(engine: Engine, plain: PlainEngine, parity: Path) -> None:
    random = np.random.default_rng(0)
    image, _ = read_case(parity / "inputs", "coffee")
    image = image.transpose(Image.Transpose.ROTATE_90).resize((311, 407))
    records = []
    for _ in range(40):
        mask = np.zeros((407, 311), bool)
        x, y = (int(v) for v in random.integers(0, (305, 400)))
        w, h = (int(v) for v in random.integers(1, 7, 2) ** 2)
        mask[y : y + h, x : x + w] = random.random((min(h, 407 - y), min(w, 311 - x))) < 0.7
        box = mask_set((407, 311), [encode(mask)]).source_boxes_xywh[0].tolist()
        records.append({"segmentation": {"size": [407, 311], "counts": encode(mask)}, "bbox": box})
    (annotation,) = engine([inputs_of(image, records)])
    expected = plain(image, records)
    assert list(annotation.labels) == [record["class_name"] for record in expected]
    assert [list(p.names) for p in annotation.proposals] == [record["class_proposals"] for record in expected]
    assert list(annotation.captions) == [record["caption"] for record in expected]
    assert (annotation.confidences <= np.array([record["confidence"] for record in expected]) + 0.02).all()


def test_photographs_are_named_as_one_by_one(engine: Engine, plain: PlainEngine, shared: Path) -> None:
    for stem in ("000000142238", "000000439180"):
        image, records = read_case(shared / "data" / "photos", stem)
        (annotation,) = engine([inputs_of(image, records)])
        expected = plain(image, records)
        assert list(annotation.labels) == [record["class_name"] for record in expected]
        assert [list(p.names) for p in annotation.proposals] == [record["class_proposals"] for record in expected]


def test_masks_that_are_empty_or_vanish_in_the_crop_stay_unlabelled(engine: Engine, parity: Path) -> None:
    masks = [rectangle(0, 0, 0, 0), rectangle(10, 10, 60, 60), rectangle(10, 10, 60, 60), rectangle(0, 0, 451, 300)]
    holed = rectangle(100, 100, 200, 200)
    holed[110:190, 110:190] = False  # its box meets the crop, none of its pixels does
    boxes = [[0, 0, 0, 0], [10, 10, 49, 49], [300, 200, 20, 20], [0, 0, 450, 299], [140, 140, 10, 10]]
    (annotation,) = engine([one_image(parity, [*masks, holed], source_boxes_xywh=boxes)])
    assert [label is None for label in annotation.labels] == [True, False, True, False, True]
    assert annotation.confidences[[0, 2, 4]].tolist() == [0, 0, 0]
    assert [len(proposals.names) for proposals in annotation.proposals] == [0, 3, 3, 3, 3]
    assert (annotation.captions[0], annotation.label_sources[0]) == ("", None)
    assert annotation.unlabelled == 3


def test_crops_of_one_and_three_pixels(engine: Engine, parity: Path) -> None:
    sizes = [(1, 1), (1, 3), (3, 1), (1, 200), (200, 1), (3, 3), (3, 250)]
    (annotation,) = engine([one_image(parity, [rectangle(5, 7, 5 + w, 7 + h) for w, h in sizes])])
    assert annotation.unlabelled == 0
    row = Inputs(np.full((1, 40, 3), 90, np.uint8), mask_set((1, 40), [encode(np.ones((1, 40), bool))]))
    assert engine([row])[0].unlabelled == 0


def test_classes_of_one_name_propose_it_together() -> None:
    """COCO's list has two walls."""
    semantic = SemanticMap(np.array([[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]], np.uint8), ("wall", "door", "wall"))
    masks = mask_set((1, 10), [encode(np.ones((1, 10), bool))])
    candidate = Candidate(torch.zeros((1, 10, 3), dtype=torch.uint8), masks, 0)
    ((_, name, shares),) = engine_module._winners([semantic], [[candidate]], with_shares=True)
    assert (name, shares) == ("wall", [("wall", 0.6), ("door", 0.4)])


def test_one_candidate_is_enough(build: Build, parity: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufefflorry\n\n  \nlorry\n", encoding="utf-8")
    engine = build(segmenters=(), captioner="", vocabulary=str(tmp_path / "names.txt"))
    (annotation,) = engine([one_image(parity, [rectangle(10, 10, 60, 60)])])
    assert annotation.labels == ("lorry",)
    assert annotation.proposals[0].scores == (1.0,)
    assert annotation.confidences[0] < 0.5  # among common names it is one of many
    assert (annotation.label_sources, annotation.captions) == (("vocabulary",), ("",))


def test_no_candidate_leaves_a_mask_unlabelled(build: Build, parity: Path) -> None:
    engine = build(segmenters=())
    engine.captioner = lambda groups: [["", "running fast", "a red tree"]]  # type: ignore[assignment]
    masks = [rectangle(10, 10, 60, 60), rectangle(20, 20, 90, 70), rectangle(30, 30, 80, 90)]
    (annotation,) = engine([one_image(parity, masks)])
    assert annotation.labels == (None, None, "a red tree")
    assert annotation.captions == ("", "running fast", "a red tree")
    assert [proposals.names for proposals in annotation.proposals] == [(), (), ("a red tree",)]


def test_names_of_any_length_are_taken(build: Build, parity: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("word " * 500 + "\nlorry\nünï cödé\n", encoding="utf-8")
    engine = build(segmenters=(), captioner="", vocabulary=str(tmp_path / "names.txt"))
    (annotation,) = engine([one_image(parity, [rectangle(10, 10, 60, 60)])])
    assert set(annotation.proposals[0].names) == {("word " * 500).strip(), "lorry", "ünï cödé"}


def test_two_thousand_masks_in_one_image(build: Build, parity: Path) -> None:
    engine = build(segmenters=settings(parity).segmenters[:1], top_k=1)
    masks = [rectangle(x, y, x + 6, y + 5) for y in range(0, 200, 5) for x in range(0, 300, 6)]
    (annotation,) = engine([one_image(parity, masks)])
    assert len(annotation.labels) == 2000
    assert annotation.unlabelled == 0


def test_an_image_without_masks_and_a_batch_without_images(engine: Engine) -> None:
    pixels = np.zeros((40, 50, 3), np.uint8)
    assert len(engine([Inputs(pixels, MaskSet.empty((40, 50)))])[0].labels) == 0
    assert engine([]) == []
    with pytest.raises(InputError, match="has no masks"):
        engine([Inputs(pixels)])


def test_seconds_are_told_by_stage(engine: Engine, batch: list[Inputs]) -> None:
    engine.timings.clear()
    engine(batch[:1])
    stages = ["masks", "segment", "vote", "caption", "filter", "phrases", "rank", "decide"]
    assert list(engine.timings) == stages
    assert all(seconds >= 0 for seconds in engine.timings.values())


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("shi-labs/oneformer_coco_swin_large", "coco"),
        ("shi-labs/oneformer_ade20k_swin_tiny", "ade20k"),
        ("nvidia/segformer-b0-finetuned-ade-512-512", "ade20k"),
        ("/models/coco/my-Cityscapes", "cityscapes"),
        ("/models/mine", "mine"),
        ("package.module:factory", "package.module:factory"),
    ],
)
def test_a_segmenter_names_its_source(model: str, source: str) -> None:
    assert source_name(model) == source


def test_a_missing_model_is_one_line_that_says_which(build: Build, tmp_path: Path) -> None:
    for key in ("captioner", "decider"):
        with pytest.raises(InputError, match=f"cannot load the {key}: .*nowhere does not exist"):
            build(segmenters=(), **{key: str(tmp_path / "nowhere")})
    with pytest.raises(InputError, match="cannot load a semantic segmenter"):
        build(captioner="", segmenters=(str(tmp_path / "nowhere"),))
    with pytest.raises(InputError, match="cannot load the class filter"):
        build(captioner="", segmenters=(), class_filter=f"local-dir:{tmp_path / 'nowhere'}")
