"""Every stage of the small models' training: a step lowers nothing to NaN, a run goes on where it was cut off, and what
is written loads by the library's own loaders.
"""

import argparse
import dataclasses
import json
import math
from importlib.metadata import version

import pytest
import torch
from safetensors.torch import load_file

from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.class_filter import ClassFilter
from fiftyone_ssa.models.decider import Decider
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.models.segmenters import load_segmenter
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.quickstart.scenes import class_names, draw_scene
from tests.tools.averaging import averaged
from tools.mini import loop
from tools.mini.clipseg import ClipSegStage
from tools.mini.muon import orthogonal
from tools.mini.sam import LOOK_FIRST, SamStage
from tools.mini.stages import STAGES, train_stage

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    tuple(map(int, version("transformers").split(".")[:2])) < (5, 20),
    reason="training needs transformers 5.20: earlier ones give CLIPSeg's losses no hidden states",
)


def plan(folder, steps=1):
    return loop.Plan(folder / "out", folder / "work", CPU, steps=steps, batch_size=1, log=lambda _: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini")
    return {name: loop.train(stage(), plan(folder)) for name, stage in STAGES.items()}


def test_all_weights_are_half_precision_and_small(trained):
    files = [path for folder in trained.values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6
    for path in files:
        if path.suffix == ".safetensors":
            header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
            kinds = {entry["dtype"] for name, entry in json.loads(header).items() if name != "__metadata__"}
            assert kinds <= {"F16", "I64"}, path


def test_segmenters_and_sam_load(trained):
    image = draw_scene(0, (96, 128)).image
    for name, vocabulary in (("segformer-ade20k", "ade20k"), ("segformer-coco", "coco")):
        segmenter = load_segmenter(str(trained[name]), CPU, torch.float32)
        assert tuple(segmenter.classes) == class_names(vocabulary)
        assert segmenter([image])[0].size_hw == (96, 128)
    settings = Masks(model=str(trained["sam"]), points_per_side=2, pred_iou_thresh=-1e9, stability_score_thresh=0.0)
    assert load_mask_generator(settings, CPU, torch.float32)(image).size_hw == (96, 128)


def test_clip_blip_and_clipseg_load(trained):
    crop = torch.from_numpy(draw_scene(0, (64, 96)).image)
    clip = ClassFilter(f"local-dir:{trained['clip']}", CPU, torch.float32)
    assert clip.images([[crop]])[0].shape == clip.texts(["traffic light"]).shape
    assert abs(clip.texts(["kite"]) @ clip.texts(["xylophone"]).T) < 1
    assert len(load_captioner(str(trained["blip"]), CPU, torch.float32, max_new_tokens=3)([[crop]])[0]) == 1
    Decider(str(trained["clipseg"]), CPU, torch.float32)


def test_pooled_decoder_answers_what_averaging_would():
    torch.manual_seed(0)
    pooled = ClipSegStage().build().decoder.transposed_convolution
    hidden = torch.randn(2, 64, 16, 16)
    expected = torch.nn.functional.avg_pool2d(pooled.fine(hidden), 8)
    torch.testing.assert_close(pooled(hidden), expected, rtol=1e-4, atol=1e-5)


def test_a_run_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "KEEP_EVERY", 1)
    whole = loop.train(STAGES["segformer-ade20k"](), plan(tmp_path / "whole", steps=2))
    cut = STAGES["segformer-ade20k"]()
    monkeypatch.setattr(cut, "batch", lambda draws: cut.__class__.batch(cut, draws) if draws == [0] else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.train(cut, plan(tmp_path / "cut", steps=2))
    again = loop.train(STAGES["segformer-ade20k"](), plan(tmp_path / "cut", steps=2))
    assert (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_batches_drawn_ahead_are_the_same(tmp_path):
    stage, folders = STAGES["segformer-ade20k"], []
    for loaders in (0, 2):
        chosen = dataclasses.replace(plan(tmp_path / str(loaders), steps=2), loaders=loaders)
        folders.append(loop.train(stage(), chosen))
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1


def test_losses_reach_the_weights(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # which takes a minute
    for stage in (build() for build in STAGES.values()):
        torch.manual_seed(0)
        model = stage.build()
        if stage.name == "sam":
            model.steps.fill_(LOOK_FIRST)  # the mask decoder is trained, too
        loss, figures = stage.loss(model, stage.batch([0]))
        loss.backward()
        assert math.isfinite(loss.item())
        assert all(math.isfinite(value) for value in figures.values())
        idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
        # SAM 2's boxes, mask prompts, single mask and object score, and what CLIPSeg's decoder does not tap
        assert len(idle) <= {"sam": 22, "clipseg": 4}.get(stage.name, 0), idle


def test_processes_train_on_the_mean_of_their_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(averaged, (tmp_path,), 2)
    for rank in range(2):
        gradients = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [set(gradient.flatten().tolist()) for gradient in gradients] == [{0.5}, {10.5}, {20.5}, {30.5}]


def test_processes_share_a_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # in each process, which compiles for longer than it trains
    given = {"out": tmp_path, "work": tmp_path / "work", "device": "cpu", "steps": 1, "minutes": math.inf}
    train_stage("sam", argparse.Namespace(**given, threads=2, smoke=True))
    torch.manual_seed(7)
    start, trained = SamStage().build().sam.named_parameters(), load_file(tmp_path / "sam" / "model.safetensors")
    changed = {name for name, weight in start if not torch.equal(weight.detach().half(), trained[name])}
    assert any("backbone" in name for name in changed)
    assert any("neck" in name for name in changed)


def test_orthogonal_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((5, 40), (40, 5), (16, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.5
        assert values.max() < 1.3
