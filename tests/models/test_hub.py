"""A model is whole and of the right kind, or it is refused in one sentence; libraries stay quiet."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import fiftyone_ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.class_filter import ClassFilter
from fiftyone_ssa.models.deciders import load_decider
from fiftyone_ssa.models.sam import load_sam
from fiftyone_ssa.models.segmenters import load_segmenter
from tests.models import tiny_sam_hub, tiny_segmenters
from tests.models.hub_folders import HubFolders

CPU = torch.device("cpu")
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
WEIGHTS = Path(fiftyone_ssa.__file__).parent / "quickstart" / "weights"
LOAD: dict[str, Callable[[str], Any]] = {
    "segmenter": lambda model: load_segmenter(model, CPU, torch.float32),
    "captioner": lambda model: load_captioner(model, CPU, torch.float32, max_new_tokens=2),
    "decider": lambda model: load_decider(model, CPU, torch.float32),
    "class filter": lambda model: ClassFilter(model, CPU, torch.float32),
    "SAM": lambda model: load_sam(model, CPU, torch.float32),
}
FAMILIES = {  # the place each is for, and a layer of it
    "segformer": ("segmenter", "encoder.block.2.0."),
    "oneformer": ("segmenter", "transformer_module.decoder.layers.0."),
    "mask2former": ("segmenter", "transformer_module.decoder.layers.0."),
    "maskformer": ("segmenter", "transformer_module.decoder.layers.0."),
    "eomt": ("segmenter", "layers.1."),
    "upernet": ("segmenter", "decode_head.psp_modules.1."),
    "dpt": ("segmenter", "neck.fusion_stage.layers.0."),
    "beit": ("segmenter", "layer.1."),
    "blip": ("captioner", "text_decoder.bert.encoder.layer.0."),
    "vit_gpt2": ("captioner", "decoder.transformer.h.1."),
    "clipseg": ("decider", "clip.text_model.encoder.layers.1."),
    "clip": ("class filter", "visual.transformer.resblocks.1."),
    "sam": ("SAM", "vision_encoder.layers.1."),
    "sam_hq": ("SAM", "mask_decoder.transformer.layers.1."),
    "sam2": ("SAM", "mask_decoder.transformer.layers.0."),
    "sam2_video": ("SAM", "backbone.blocks.3."),
    "edgetam": ("SAM", "mask_decoder.upscale_conv1."),
    "sam3_tracker": ("SAM", "prompt_encoder.mask_embed.conv2."),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Callable[[str], Path]:
    """A folder of each family, in the hub's own form where a preset names one of it."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("whole")
    published = HubFolders(root, parity / "models")
    own: dict[str, Callable[[], Path]] = {
        "oneformer": published.oneformer_coco,
        "segformer": lambda: published.segformer("segformer-ade20k"),
        **{name: getattr(published, name) for name in ("blip", "vit_gpt2", "clipseg", "clip", "sam")},
    }

    def get(family: str) -> Path:
        if family not in made:
            module = tiny_segmenters if family in tiny_segmenters.FAMILIES else tiny_sam_hub
            made[family] = own[family]() if family in own else module.save(family, root / family)
        return made[family]

    return get


def change(source: Path, to: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """A copy of a model folder with other weights."""
    shutil.copytree(source, to)
    if safe := next(to.glob("*.safetensors"), None):
        safe.chmod(0o644)
        save_file(edit(load_file(safe)), safe, metadata={"format": "pt"})
    else:
        file = next(to.glob("*.bin"))
        torch.save(edit(torch.load(file)), file)
    return to


def told(load: str, folder: Path) -> str:
    """The one sentence with which a folder is refused."""
    with pytest.raises(InputError) as caught:
        LOAD[load](str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_with_a_layer_cut_out(family: str, whole: Callable[[str], Path], tmp_path: Path) -> None:
    place, layer = FAMILIES[family]

    def without(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        kept = {key: tensor for key, tensor in weights.items() if layer not in key}
        assert 0 < len(kept) < len(weights), sorted(weights)
        return kept

    LOAD[place](str(whole(family)))
    sentence = told(place, change(whole(family), tmp_path / "cut", without))
    assert re.search(r"lacks \d+ weights of a \w+, [\w.]+ among them|Missing key", sentence)


@pytest.mark.parametrize("family", ["segformer", "oneformer", "blip", "clipseg", "sam", "clip"])
def test_weights_of_another_shape(family: str, whole: Callable[[str], Path], tmp_path: Path) -> None:
    def widened(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = [key for key, tensor in weights.items() if tensor.ndim == 2 and "position" not in key][-1]
        return {**weights, name: torch.cat([weights[name]] * 2)}

    sentence = told(FAMILIES[family][0], change(whole(family), tmp_path / "wide", widened))
    assert re.search(r"1 weights of .* have another shape than its config.json says|size mismatch", sentence)


@pytest.mark.parametrize("content", [b"", b"garbage" * 999, "half", b"\x80\x04\x95 pickle", "list"])
@pytest.mark.parametrize("family", ["segformer", "blip", "clipseg", "clip", "sam"])
def test_a_damaged_weights_file(
    family: str, content: bytes | str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(whole(family), folder)
    file = next(folder.glob("*.bin"))
    if content == "list":
        torch.save([1, 2], file)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if isinstance(content, str) else content)
    sentence = told(FAMILIES[family][0], folder)
    assert "check the folder, its files may be damaged" in sentence


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_damaged_safetensors(cut: int, parity: Path, tmp_path: Path) -> None:
    shutil.copytree(parity / "models/segformer-ade20k", tmp_path / "cut")
    file = tmp_path / "cut/model.safetensors"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:cut])
    assert "its files may be damaged" in told("segmenter", tmp_path / "cut")
    file.unlink()
    assert "its files may be damaged" in told("segmenter", tmp_path / "cut")


@pytest.mark.parametrize(
    ("family", "file", "content"),
    [
        ("segformer", "config.json", "{"),
        ("segformer", "config.json", "[]"),
        ("segformer", "config.json", '{"model_type": "segformer", "hidden_sizes": "a"}'),
        ("segformer", "config.json", '{"model_type": "segformer", "num_encoder_blocks": 9}'),
        ("segformer", "config.json", '{"model_type": "of another year"}'),
        ("segformer", "preprocessor_config.json", "{"),
        ("segformer", "preprocessor_config.json", None),
        *((family, "preprocessor_config.json", "{}") for family in ("segformer", "eomt", "beit", "blip", "sam")),
        ("blip", "vocab.txt", None),
        ("clipseg", "vocab.json", "{"),
        ("clipseg", "vocab.json", None),
        ("oneformer", "vocab.json", None),
        ("vit_gpt2", "vocab.json", None),
        ("vit_gpt2", "preprocessor_config.json", None),
        ("sam", "preprocessor_config.json", "{"),
        ("clip", "open_clip_config.json", "{"),
        ("clip", "open_clip_config.json", '{"model_cfg": 3}'),
        ("clip", "open_clip_config.json", None),
        ("clip", "open_clip_pytorch_model.bin", None),
    ],
)
def test_another_file_that_is_damaged_or_missing(
    family: str, file: str, content: str | None, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(whole(family), folder)
    (folder / file).chmod(0o644)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    assert str(folder) in told(FAMILIES[family][0], folder)


@pytest.mark.parametrize(
    ("place", "model", "file", "content"),
    [
        ("class filter", "clip", "tokenizer_config.json", None),
        ("decider", "clipseg", "tokenizer_config.json", None),
        ("captioner", "blip", "generation_config.json", "{"),
    ],
)
def test_a_file_of_the_shipped_models_that_would_fail_or_lie_later(
    place: str, model: str, file: str, content: str | None, tmp_path: Path
) -> None:
    for path in (WEIGHTS / model).iterdir():
        if path.name != file:
            (tmp_path / path.name).symlink_to(path)
    if content is not None:
        (tmp_path / file).write_text(content)
    assert str(tmp_path) in told(place, tmp_path)


OTHER_KINDS: dict[str, tuple[Any, str, str]] = {
    "clip": (hf.CLIPConfig, "CLIPModel", "decider"),
    "clipseg_alone": (hf.CLIPSegConfig, "CLIPSegModel", "decider"),
    "owlv2": (hf.Owlv2Config, "Owlv2ForObjectDetection", "decider"),
    "sam3_tracker": (hf.Sam3TrackerConfig, "Sam3TrackerModel", "decider"),
    "florence2": (hf.Florence2Config, "Florence2ForConditionalGeneration", "decider"),
    "siglip": (hf.SiglipConfig, "SiglipModel", "decider"),
    "vit": (hf.ViTConfig, "ViTForImageClassification", "segmenter"),
    "segformer_classifier": (hf.SegformerConfig, "SegformerForImageClassification", "segmenter"),
    "beit_classifier": (hf.BeitConfig, "BeitForImageClassification", "segmenter"),
    "dpt_depth": (hf.DPTConfig, "DPTForDepthEstimation", "segmenter"),
    "detr": (hf.DetrConfig, "DetrForObjectDetection", "segmenter"),
    "sam": (hf.SamConfig, "SamModel", "segmenter"),
    "blip_itm": (hf.BlipConfig, "BlipForImageTextRetrieval", "captioner"),
    "blip_vqa": (hf.BlipConfig, "BlipForQuestionAnswering", "captioner"),
    "got_ocr2": (hf.GotOcr2Config, "GotOcr2ForConditionalGeneration", "captioner"),
    "pix2struct": (hf.Pix2StructConfig, "Pix2StructForConditionalGeneration", "captioner"),
    "qwen_without_images": (hf.Qwen2Config, "Qwen2ForCausalLM", "captioner"),
    "gpt2": (hf.GPT2Config, "GPT2LMHeadModel", "captioner"),
    "segformer": (hf.SegformerConfig, "SegformerForSemanticSegmentation", "SAM"),
    "sam3_text": (hf.Sam3Config, "Sam3Model", "SAM"),
    "open_clip": (hf.CLIPConfig, "CLIPModel", "class filter"),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_another_kind_is_refused_before_its_weights_are_read(kind: str, tmp_path: Path) -> None:
    """The weights file would say so: it is garbage."""
    config, architecture, place = OTHER_KINDS[kind]
    written = {"model_type": config.model_type, "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(written))
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    sentence = told(place, tmp_path)
    assert "garbage" not in sentence
    assert "damaged" not in sentence
    assert re.search(rf"{architecture}; give a|holds no open_clip_config.json", sentence)


def test_loading_adds_no_word(
    whole: Callable[[str], Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folders = {FAMILIES[family][0]: str(whole(family)) for family in ("oneformer", "blip", "clipseg", "clip", "sam")}
    capfd.readouterr()
    verbosity, bars = hf.utils.logging.get_verbosity(), hf.utils.logging.is_progress_bar_enabled()
    hf.utils.logging.set_verbosity_warning()
    hf.utils.logging.enable_progress_bar()
    try:
        with caplog.at_level(logging.WARNING):
            for place, folder in folders.items():
                LOAD[place](folder)
            for family in ("vit_gpt2", "blip"):
                LOAD["captioner"](str(whole(family)))([[torch.zeros((9, 9, 3), dtype=torch.uint8)] * 3])
        assert hf.utils.logging.get_verbosity() == logging.WARNING
        assert hf.utils.logging.is_progress_bar_enabled()
    finally:
        hf.utils.logging.set_verbosity(verbosity)
        if not bars:
            hf.utils.logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


@pytest.mark.parametrize("place", LOAD)
@pytest.mark.parametrize("name", ["~nouser/x", "x" * 300, "/" + "y" * 5000, "a\0b", "no such name!", "a/b/c/d", ""])
def test_a_name_of_any_kind_is_one_sentence(name: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        LOAD[place](name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("place", ["segmenter", "captioner", "decider", "SAM"])
def test_what_is_no_name_is_told(place: str, parity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory was asked for an empty one, and `hf download` recommended for what can be no id."""
    monkeypatch.chdir(parity / "models" / "segformer-ade20k")
    for name, told in {"": "name is empty", "two words": "no Hugging Face id reads so"}.items():
        with pytest.raises(InputError, match=told):
            LOAD[place](name)
    if place != "SAM":
        with pytest.raises(InputError, match="by its id alone"):
            LOAD[place]("https://huggingface.co/CIDAS/clipseg-rd64-refined")
