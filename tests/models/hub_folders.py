"""Small random models in the form in which the hub publishes those that presets name.

Old file names and keys, `.bin` weights, vocabularies as `vocab.txt` or `vocab.json` and `merges.txt`, raw class names,
no class file beside OneFormer: what conversion scripts of years ago left in these repositories.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file

from fiftyone_ssa.models.neighbourhood import plain_neighbourhoods
from tests.models import tiny_chat, tiny_sam_hub, tiny_segmenters, tiny_towers

REVISION = "0" * 40
# fmt: off
COCO_STUFF = (
    "banner", "blanket", "bridge", "cardboard", "counter", "curtain", "door-stuff", "floor-wood", "flower", "fruit",
    "gravel", "house", "light", "mirror-stuff", "net", "pillow", "platform", "playingfield", "railroad", "river",
    "road", "roof", "sand", "sea", "shelf", "snow", "stairs", "tent", "towel", "wall-brick", "wall-stone", "wall-tile",
    "wall-wood", "water-other", "window-blind", "window-other", "tree-merged", "fence-merged", "ceiling-merged",
    "sky-other-merged", "cabinet-merged", "table-merged", "floor-other-merged", "pavement-merged", "mountain-merged",
    "grass-merged", "dirt-merged", "paper-merged", "food-other-merged", "building-other-merged", "rock-merged",
    "wall-other-merged", "rug-merged",
)
ADE20K = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road, route", "bed ", "window ", "grass", "cabinet",
    "sidewalk, pavement", "person", "earth, ground", "door", "table", "mountain, mount", "plant", "curtain", "chair",
    "car", "water", "painting, picture", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat",
    "fence", "desk", "rock, stone", "wardrobe, closet, press", "lamp", "tub", "rail", "cushion",
    "base, pedestal, stand", "box", "column, pillar", "signboard, sign", "chest of drawers, chest, bureau, dresser",
    "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator, icebox", "grandstand, covered stand", "path",
    "stairs", "runway", "case, display case, showcase, vitrine", "pool table, billiard table, snooker table", "pillow",
    "screen door, screen", "stairway, staircase", "river", "bridge, span", "bookcase", "blind, screen", "coffee table",
    "toilet, can, commode, crapper, pot, potty, stool, throne", "flower", "book", "hill", "bench", "countertop",
    "stove", "palm, palm tree", "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine",
    "hovel, hut, hutch, shack, shanty", "bus", "towel", "light", "truck", "tower", "chandelier",
    "awning, sunshade, sunblind", "street lamp", "booth", "tv", "plane", "dirt track", "clothes", "pole",
    "land, ground, soil", "bannister, banister, balustrade, balusters, handrail",
    "escalator, moving staircase, moving stairway", "ottoman, pouf, pouffe, puff, hassock", "bottle",
    "buffet, counter, sideboard", "poster, posting, placard, notice, bill, card", "stage", "van", "ship", "fountain",
    "conveyer belt, conveyor belt, conveyer, conveyor, transporter", "canopy",
    "washer, automatic washer, washing machine", "plaything, toy", "pool", "stool", "barrel, cask",
    "basket, handbasket", "falls", "tent", "bag", "minibike, motorbike", "cradle", "oven", "ball", "food, solid food",
    "step, stair", "tank, storage tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher",
    "screen", "blanket, cover", "sculpture", "hood, exhaust hood", "sconce", "vase", "traffic light", "tray",
    "trash can", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator",
    "glass, drinking glass", "clock", "flag",
)
# fmt: on
OLD_IMAGES = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
}
_TOKEN = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


class HubFolders:
    """Builds folders below `root`; `models` is where the reference models lie, whose vocabularies are used."""

    def __init__(self, root: Path, models: Path) -> None:
        self.root, self.models = root, models

    def oneformer_coco(self) -> Path:
        labels = _labels(self.models / "oneformer-coco")
        raw = [*labels[:80], *COCO_STUFF]
        return self._oneformer("oneformer-coco", raw, "coco_panoptic.json")

    def oneformer_ade20k(self) -> Path:
        return self._oneformer("oneformer-ade20k", ADE20K, "ade20k_panoptic.json")

    def oneformer_dinat(self) -> Path:
        """Cityscapes with a DiNAT for a backbone."""
        backbone = hf.DinatConfig(
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            kernel_size=3,
            dilations=[[1], [2], [1], [1]],
            out_features=tiny_segmenters.STAGES,
        )
        labels = _labels(self.models / "segformer-cityscapes")
        return self._oneformer("oneformer-coco", labels, "cityscapes_panoptic.json", backbone_config=backbone)

    def segformer(self, labels_of: str) -> Path:
        """With the feature extractor's configuration, whose size was one number."""
        folder = self.root / labels_of
        network = hf.SegformerForSemanticSegmentation.from_pretrained(self.models / labels_of)
        _save(network, folder)
        extractor = {"feature_extractor_type": "SegformerFeatureExtractor", "reduce_labels": True, "size": 128}
        _write(folder / "preprocessor_config.json", {**OLD_IMAGES, **extractor})
        return folder

    def blip(self) -> Path:
        """With `vocab.txt` for a vocabulary."""
        folder = self.root / "blip"
        network = hf.BlipForConditionalGeneration.from_pretrained(self.models / "blip")
        _save(network, folder, text_decoder__bert__embeddings__position_ids=torch.arange(64)[None])
        size = {"height": 64, "width": 64}
        images = {"image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor", "size": size}
        _write(folder / "preprocessor_config.json", {**OLD_IMAGES, **images, "do_rescale": True, "size_divisor": 32})
        vocabulary = json.loads((self.models / "blip/tokenizer.json").read_text())["model"]["vocab"]
        words = sorted(vocabulary, key=lambda word: vocabulary[word])
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
        tokens = {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]"}
        tokens |= {"unk_token": "[UNK]", "bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]}
        _write(folder / "special_tokens_map.json", tokens)
        settings = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
        _write(folder / "tokenizer_config.json", {**tokens, **settings, "processor_class": "BlipProcessor"})
        return folder

    def clipseg(self) -> Path:
        """With the feature extractor of ViT and CLIP's two vocabulary files."""
        folder = self.root / "clipseg"
        network = hf.CLIPSegForImageSegmentation.from_pretrained(self.models / "clipseg")
        positions = torch.arange(77)[None]
        _save(network, folder, clip__text_model__embeddings__position_ids=positions)
        extractor = {"feature_extractor_type": "ViTFeatureExtractor", "processor_class": "CLIPSegProcessor"}
        _write(folder / "preprocessor_config.json", {**OLD_IMAGES, **extractor, "size": 352})
        self._clip_vocabulary(folder, "clipseg")
        return folder

    def sam(self) -> Path:
        folder = tiny_sam_hub.save("sam", self.root / "sam")
        _as_bin(folder)
        return folder

    def sam2(self) -> Path:
        """The SAM 2.1s are published as video models."""
        return tiny_sam_hub.save("sam2_video", self.root / "sam2")

    def eomt(self, name: str) -> Path:
        """With raw names: `coco` (panoptic) or `ade20k`."""
        raw = ADE20K if name == "ade20k" else [*_labels(self.models / "oneformer-coco")[:80], *COCO_STUFF]
        network, images = tiny_segmenters.eomt()
        config = hf.EomtConfig.from_dict(network.config.to_dict() | {"id2label": dict(enumerate(raw))})
        folder = self.root / f"eomt-{name}"
        _random(hf.EomtForUniversalSegmentation(config)).save_pretrained(folder)
        images.save_pretrained(folder)
        return folder

    def smolvlm(self) -> Path:
        return tiny_chat.save("idefics3", self.root / "smolvlm")

    def siglip2(self) -> Path:
        return tiny_towers.save("siglip2", self.root / "siglip2", self.models)

    def clip(self) -> Path:
        """What `timm/vit_base_patch32_clip_224.openai` holds: open_clip's configuration and `.bin` weights."""
        folder = self.root / "clip"
        shutil.copytree(self.models / "clip", folder)
        weights = load_file(folder / "open_clip_model.safetensors")
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
        (folder / "open_clip_model.safetensors").chmod(0o644)
        (folder / "open_clip_model.safetensors").unlink()
        return folder

    def vit_gpt2(self) -> Path:
        """A repository that names no processor class."""
        folder = self.root / "vit-gpt2"
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        encoder = hf.ViTConfig(**sizes, image_size=32, patch_size=16)
        vocabulary = json.loads((self.models / "clipseg/tokenizer.json").read_text())["model"]["vocab"]
        last = len(vocabulary) - 1
        decoder = hf.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=len(vocabulary), n_positions=64)
        decoder.update({"bos_token_id": last, "eos_token_id": last, "add_cross_attention": True, "is_decoder": True})
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
        config.update({"decoder_start_token_id": last, "pad_token_id": last, "eos_token_id": last})
        _save(_random(hf.VisionEncoderDecoderModel(config)), folder)
        extractor = {"feature_extractor_type": "ViTFeatureExtractor", "size": 32}
        _write(folder / "preprocessor_config.json", {**OLD_IMAGES, **extractor})
        self._clip_vocabulary(folder, "clipseg")
        end = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
        _write(folder / "special_tokens_map.json", end)
        _write(folder / "tokenizer_config.json", {**end, "tokenizer_class": "GPT2Tokenizer", "model_max_length": 1024})
        return folder

    def _oneformer(self, weights_of: str, labels: Any, class_file: str, **changes: Any) -> Path:
        folder = self.root / f"{weights_of}-{class_file.partition('_')[0]}"
        kind = hf.OneFormerForUniversalSegmentation
        if changes:
            named = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
            config = hf.OneFormerConfig.from_pretrained(self.models / weights_of, **named, **changes)
            with plain_neighbourhoods():
                network = _random(kind(config))
        else:
            network = kind.from_pretrained(self.models / weights_of)
            network.config.id2label = dict(enumerate(labels))
            network.config.label2id = {name: i for i, name in enumerate(labels)}
        _save(network, folder, without="swin.layernorm")
        _write(
            folder / "preprocessor_config.json",
            {
                **OLD_IMAGES,
                "_max_size": 192,
                "class_info_file": class_file,
                "do_rescale": True,
                "ignore_index": 255,
                "image_processor_type": "OneFormerImageProcessor",
                "metadata": {str(i): name for i, name in enumerate(labels)},
                "num_labels": len(labels),
                "num_text": len(labels) + 1,
                "processor_class": "OneFormerProcessor",
                "reduce_labels": False,
                "repo_path": "shi-labs/oneformer_demo",
                "rescale_factor": 1 / 255,
                "size": {"longest_edge": 192, "shortest_edge": 96},
            },
        )
        self._clip_vocabulary(folder, weights_of)
        return folder

    def _clip_vocabulary(self, folder: Path, source: str) -> None:
        stored = json.loads((self.models / source / "tokenizer.json").read_text())["model"]
        _write(folder / "vocab.json", stored["vocab"])
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in stored["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges))
        end: Any = {**_TOKEN, "content": "<|endoftext|>"}
        ends = {"bos_token": {**_TOKEN, "content": "<|startoftext|>"}, "eos_token": end, "unk_token": end}
        ends["pad_token"] = "<|endoftext|>"
        _write(folder / "special_tokens_map.json", {key: _content(token) for key, token in ends.items()})
        settings = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77}
        _write(folder / "tokenizer_config.json", {**ends, **settings, "tokenizer_class": "CLIPTokenizer"})


def every_model(root: Path, models: Path) -> dict[str, Callable[[], Path]]:
    """By hub id, what builds a small one of each model that a preset names; open_clip's stand under their tags."""
    build = HubFolders(root, models)
    return {
        "facebook/sam-vit-huge": build.sam,
        "facebook/sam2.1-hiera-tiny": build.sam2,
        "nvidia/segformer-b0-finetuned-ade-512-512": lambda: build.segformer("segformer-ade20k"),
        "nvidia/segformer-b5-finetuned-ade-640-640": lambda: build.segformer("segformer-ade20k"),
        "nvidia/segformer-b5-finetuned-cityscapes-1024-1024": lambda: build.segformer("segformer-cityscapes"),
        "shi-labs/oneformer_cityscapes_dinat_large": build.oneformer_dinat,
        "shi-labs/oneformer_coco_swin_large": build.oneformer_coco,
        "shi-labs/oneformer_ade20k_swin_large": build.oneformer_ade20k,
        "shi-labs/oneformer_ade20k_swin_tiny": build.oneformer_ade20k,
        "Salesforce/blip-image-captioning-base": build.blip,
        "Salesforce/blip-image-captioning-large": build.blip,
        "CIDAS/clipseg-rd64-refined": build.clipseg,
        "CIDAS/clipseg-rd16": build.clipseg,
        "facebook/sam2.1-hiera-large": build.sam2,
        "tue-mps/coco_panoptic_eomt_large_640": lambda: build.eomt("coco"),
        "tue-mps/ade20k_semantic_eomt_large_512": lambda: build.eomt("ade20k"),
        "HuggingFaceTB/SmolVLM-500M-Instruct": build.smolvlm,
        "google/siglip2-base-patch32-256": build.siglip2,
        "google/siglip2-large-patch16-256": build.siglip2,
        "ViT-L-14:openai": build.clip,
        "ViT-B-32:openai": build.clip,
    }


def cache(home: Path, models: Path) -> Path:
    """A hub cache (`HF_HOME`) of every model, so that presets run as they are; open_clip's is in `home/clip`."""
    made: dict[str, Path] = {}
    for model, build in every_model(home / "made", models).items():
        key = str(build)
        if ":" in model:
            made[model] = home / "clip"
            if not made[model].exists():
                shutil.copytree(HubFolders(home / "made", models).clip(), made[model])
            continue
        repository = home / "hub" / f"models--{model.replace('/', '--')}"
        snapshot = repository / "snapshots" / REVISION
        folder = build()
        shutil.copytree(folder, snapshot)
        shutil.rmtree(folder)
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text(REVISION)
        made[key] = snapshot
    return home


def _labels(folder: Path) -> list[str]:
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    return [labels[str(index)] for index in range(len(labels))]


def _random(network: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return network


def _save(network: Any, folder: Path, *, without: str = "\0", **more: torch.Tensor) -> None:
    """Save as years ago: keys as they were (transformers writes them so still), `.bin`, no generation settings."""
    network.save_pretrained(folder)
    _as_bin(folder, without, {key.replace("__", "."): tensor for key, tensor in more.items()})
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype", "float32")
    _write(folder / "config.json", {**config, "transformers_version": "4.25.0.dev0"})


def _as_bin(folder: Path, without: str = "\0", more: Mapping[str, torch.Tensor] | None = None) -> None:
    file = folder / "model.safetensors"
    weights = {key: tensor for key, tensor in load_file(file).items() if without not in key}
    torch.save({**weights, **(more or {})}, folder / "pytorch_model.bin")
    file.unlink()


def _content(token: Any) -> Any:
    return token["content"] if isinstance(token, dict) else token


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2))
