"""What may be put into a slot: small models of every family in the hub's form, and what is none of them."""

from __future__ import annotations

import importlib.util
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import transformers as hf

from tests.models import tiny_chat, tiny_concepts, tiny_groupvit, tiny_sam_hub, tiny_segmenters, tiny_towers
from tests.models.author_checkpoints import TinyVitSam, decoder
from tests.models.hub_folders import HubFolders
from tests.models.tiny_sam import randomize, segment_anything_sam

Build = Callable[[Path, Path], Path]
"""Of a path that is free and the folder of the reference models, what is to be named; `{slot}` is the slot's word."""

SLOTS = ("masks", "segmenter", "captioner", "class_filter", "decider")
OWN = """
import numpy as np


class Segmenter:
    classes = ["sky", "road"]

    def __call__(self, images):
        return [np.zeros(image.shape[:2], int) for image in images]


class Filter:
    def images(self, crops):
        return np.array([[crop.mean() + 1, 1.0] for crop in crops])

    def texts(self, names):
        return np.array([[len(name), 1.0] for name in names])


def masks():
    return lambda image: np.ones((1, *image.shape[:2]), bool)


def segmenter():
    return Segmenter()


def captioner():
    return lambda crops: [f"a thing of {crop.shape[0]} rows" for crop in crops]


def class_filter():
    return Filter()


def decider():
    return lambda crops, masks, names: [[1.0] * len(of_one) for of_one in names]
"""
CHATS = {
    "blip_2": "BLIP-2",
    "florence2": "Florence-2",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "qwen3_5": "Qwen3.5",
    "idefics3": "SmolVLM, as `Idefics3`",
    "smolvlm": "SmolVLM2",
    "lfm2_vl": "LFM2-VL",
    "llava": "LLaVA",
    "llava_next": "LLaVA-NeXT",
    "llava_onevision": "LLaVA-OneVision",
    "mistral3": "Mistral Small 3",
    "gemma3": "Gemma 3",
    "gemma4": "Gemma 4",
    "mllama": "Llama 3.2 Vision",
    "paligemma": "PaliGemma",
    "internvl": "InternVL",
    "kosmos2": "Kosmos-2",
}
SAMS = {
    "sam": "SAM",
    "sam_hq": "SAM-HQ",
    "sam2": "SAM 2, 2.1",
    "sam2_video": "SAM 2.1, as published",
    "edgetam": "EdgeTAM",
    "edgetam_video": "EdgeTAM, as published",
    "sam3_tracker": "SAM 3's tracker",
}
SEGMENTERS = {
    "segformer": "SegFormer",
    "upernet": "UperNet",
    "dpt": "DPT",
    "beit": "BEiT",
    "mask2former": "Mask2Former",
    "maskformer": "MaskFormer",
    "eomt": "EoMT, semantic",
    "mobilevit": "MobileViT with DeepLab",
    "mobilenet_v2": "MobileNetV2 with DeepLab",
    "data2vec": "Data2Vec",
    "eomt_dinov3": "EoMT with DINOv3, semantic",
    "sapiens2": "Sapiens 2",
    "tipsv2_dpt": "TIPSv2 with DPT",
    "rf_detr": "RF-DETR, instance",
}
TOWERS = {
    "clip": "CLIP",
    "metaclip_2": "MetaCLIP 2",
    "altclip": "AltCLIP",
    "chinese_clip": "Chinese-CLIP",
    "tipsv2": "TIPSv2",
    "siglip": "SigLIP",
    "siglip2": "SigLIP 2",
    "siglip2_naflex": "SigLIP 2 naflex",
}
KINDS = {
    "ViT, a classifier": ("vit", "ViTForImageClassification"),
    "SegFormer, a classifier": ("segformer", "SegformerForImageClassification"),
    "BEiT, a classifier": ("beit", "BeitForImageClassification"),
    "DINOv2": ("dinov2", "Dinov2Model"),
    "DPT for depth": ("dpt", "DPTForDepthEstimation"),
    "DETR": ("detr", "DetrForObjectDetection"),
    "RF-DETR, boxes": ("rf_detr", "RfDetrForObjectDetection"),
    "VidEoMT": ("videomt", "VideomtForUniversalSegmentation"),
    "Idefics2": ("idefics2", "Idefics2ForConditionalGeneration"),
    "Llama 4": ("llama4", "Llama4ForConditionalGeneration"),
    "OWLv2": ("owlv2", "Owlv2ForObjectDetection"),
    "Grounding DINO": ("grounding-dino", "GroundingDinoForObjectDetection"),
    "BLIP for retrieval": ("blip", "BlipForImageTextRetrieval"),
    "BLIP for questions": ("blip", "BlipForQuestionAnswering"),
    "SigLIP, a classifier": ("siglip", "SiglipForImageClassification"),
    "CLIPSeg's towers alone": ("clipseg", "CLIPSegModel"),
    "GOT-OCR": ("got_ocr2", "GotOcr2ForConditionalGeneration"),
    "Pix2Struct": ("pix2struct", "Pix2StructForConditionalGeneration"),
    "GPT-2": ("gpt2", "GPT2LMHeadModel"),
    "Qwen2, text alone": ("qwen2", "Qwen2ForCausalLM"),
    "BERT": ("bert", "BertModel"),
    "T5": ("t5", "T5ForConditionalGeneration"),
    "Whisper": ("whisper", "WhisperForConditionalGeneration"),
    "a type of another year": ("of-another-year", "OfAnotherYearModel"),
}
"""By their configurations alone; the weights beside them are garbage, which no one may notice."""


def _kind(model_type: str, architecture: str) -> Build:
    def build(path: Path, _: Path) -> Path:
        path.mkdir()
        written = {"model_type": model_type, "architectures": [architecture]}
        (path / "config.json").write_text(json.dumps(written))
        (path / "model.safetensors").write_bytes(b"garbage")
        return path

    return build


def _authors(model_type: str, **parts: dict[str, str]) -> Build:
    """As `microsoft/Florence-2-base` and `OpenGVLab/InternVL3-1B` are, beside code of their own."""
    code = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    config = {"model_type": model_type, "architectures": ["OwnModel"], "auto_map": code, **parts}
    return _folder({"config.json": json.dumps(config).encode(), "model.safetensors": b"garbage"})


def _folder(files: Mapping[str, bytes]) -> Build:
    def build(path: Path, _: Path) -> Path:
        path.mkdir()
        for name, content in files.items():
            (path / name).write_bytes(content)
        return path

    return build


def _file(end: str, content: bytes) -> Build:
    def build(path: Path, _: Path) -> Path:
        file = path.with_suffix(end)
        file.write_bytes(content)
        return file

    return build


def _sam_pth(path: Path, _: Path) -> Path:
    model = segment_anything_sam()
    randomize(model, seed=0)
    torch.save(model.state_dict(), path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def _mobile_sam(path: Path, _: Path) -> Path:
    torch.save(TinyVitSam(decoder()).checkpoint(), path.with_suffix(".pt"))
    return path.with_suffix(".pt")


class Whole:
    """What a whole pickled model is: code."""


def _pickled(path: Path, _: Path) -> Path:
    torch.save(Whole(), path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def _zipped(path: Path, _: Path) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as file:
        file.writestr("config.json", "{}")
    return path.with_suffix(".zip")


def _git(path: Path, models: Path) -> Path:
    tokenizer = hf.AutoProcessor.from_pretrained(models / "blip").tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    hf.GitForCausalLM(
        hf.GitConfig(vision_config=vision, max_position_embeddings=64, **sizes, **tokens)
    ).save_pretrained(path)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    hf.GitProcessor(images, tokenizer).save_pretrained(path)
    return path


def _sam3(path: Path, models: Path) -> Path:
    tiny_sam_hub.save_sam3(path)
    hf.AutoTokenizer.from_pretrained(models / "clipseg").save_pretrained(path)
    return path


def _own(path: Path, _: Path) -> Path:
    path.mkdir()
    (path / "own.py").write_text(OWN)
    return path / "own.py:{slot}"


def _own_of_another_kind(path: Path, _: Path) -> Path:
    path.mkdir()
    (path / "own.py").write_text("".join(f"def {slot}():\n    return 3\n\n" for slot in SLOTS))
    return path / "own.py:{slot}"


def _segmenter(name: str) -> Build:
    return lambda path, _: tiny_segmenters.save(name, path, spread=0.3)  # answers that differ


def _whole_eomt(path: Path, _: Path) -> Path:
    """One that sees an image as one padded window, as those for class maps do not."""
    tiny_segmenters.save("eomt", path, spread=0.3)
    size = {"shortest_edge": 64, "longest_edge": 64}
    hf.EomtImageProcessor(size=size, do_split_image=False, do_pad=True).save_pretrained(path)
    return path


def _hub(name: str) -> Build:
    return lambda path, models: getattr(HubFolders(path.parent, models), name)()


FAMILIES: dict[str, Build] = {
    **{title: lambda path, _, name=name: tiny_sam_hub.save(name, path) for name, title in SAMS.items()},
    "SAM 3, as `facebook/sam3`": _sam3,
    "SAM `.pth`": _sam_pth,
    "MobileSAM `.pt`": _mobile_sam,
    **{
        title: lambda path, _, name=name: tiny_segmenters.save(name, path, spread=0.3)
        for name, title in SEGMENTERS.items()
    },
    "EoMT, panoptic or instance": _whole_eomt,
    "OneFormer": _hub("oneformer_ade20k"),
    "OneFormer with DiNAT": _hub("oneformer_dinat"),
    "BLIP": _hub("blip"),
    "GIT": _git,
    "ViT-GPT2": _hub("vit_gpt2"),
    **{
        title: lambda path, _, name=name: tiny_chat.save(name, path)
        for name, title in CHATS.items()
        if name != "smolvlm" or importlib.util.find_spec("num2words")
    },
    "CLIP of open_clip": lambda _, models: models / "clip",
    **{title: lambda path, models, name=name: tiny_towers.save(name, path, models) for name, title in TOWERS.items()},
    "CLIPSeg": _hub("clipseg"),
    "GroupViT": lambda path, models: tiny_groupvit.save(path, models),
    "SAM 3, asked by name": lambda path, models: tiny_concepts.save(path, models),
    "SAM 3 LiteText": lambda path, models: tiny_concepts.save(path, models, "Sam3LiteText"),
    "your own `module:factory`": _own,
    "`module:factory` of another kind": _own_of_another_kind,
    **{title: _kind(*names) for title, names in KINDS.items()},
    "Florence-2, its authors' form": _authors("florence2", text_config={"model_type": "florence2_language"}),
    "InternVL, its authors' form": _authors("internvl_chat"),
    "a LoRA adapter": _folder({"adapter_config.json": b"{}", "adapter_model.safetensors": b"garbage"}),
    "a diffusion model": _folder({"model_index.json": b'{"_class_name": "StableDiffusionPipeline"}'}),
    "a sentence-transformer": _folder({"modules.json": b"[]"}),
    "a TensorFlow model": _folder({"saved_model.pb": b"garbage"}),
    "a folder of ONNX": _folder({"model.onnx": b"garbage"}),
    "a folder of GGUF": _folder({"model-Q4_K_M.gguf": b"GGUF"}),
    "a folder of weights alone": _folder({"model.safetensors": b"garbage"}),
    "a model of timm": _folder({"config.json": b'{"architecture": "vit_base_patch16_224"}', "model.safetensors": b"x"}),
    "an empty folder": _folder({}),
    "a folder of pictures": _folder({"a.jpg": b"garbage"}),
    "a GGUF file": _file(".gguf", b"GGUF"),
    "an ONNX file": _file(".onnx", b"garbage"),
    "a TensorFlow Lite file": _file(".tflite", b"garbage"),
    "a pickle": _file(".pkl", pickle.dumps([1, 2])),
    "a model pickled whole": _pickled,
    "weights alone": _file(".safetensors", b"garbage"),
    "an archive": _zipped,
    "a text file": _file(".txt", b"sky\n"),
}
"""By the words for it in docs/slots.md."""
