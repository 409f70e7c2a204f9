"""Tiny random image-text models of the real classes, in the hub's form: they speak single characters."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers as tk
import torch
import transformers as hf

SIDE, PATCH = 32, 8
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"image_size": SIDE, "patch_size": PATCH}
TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT |= {"num_key_value_heads": 2, "max_position_embeddings": 512}
QWEN_IMAGES = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}
LINEAR = {"layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8, "linear_value_head_dim": 8}
LINEAR |= {"linear_num_key_heads": 2, "linear_num_value_heads": 2}
ALL_TURN = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
CHAT = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SQUARE = {"height": SIDE, "width": SIDE}


def tokenizer(*specials: str, named: dict[str, str] | None = None, words: tuple[str, ...] = ()) -> Any:
    """Characters, `<pad>` 0, `<s>` 1, `</s>` 2, `<unk>` 3, then the specials."""
    every = ["<pad>", "<s>", "</s>", "<unk>", *specials, *(named or {}).values(), *words]
    every += [*string.ascii_letters, *string.digits, *string.punctuation, " ", "\n"]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(every))}
    core = tk.Tokenizer(tk.models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    core.decoder = tk.decoders.Fuse()
    core.add_special_tokens(list(specials))
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        **names,
        extra_special_tokens=named or {},
        padding_side="right",
    )


def _blip2(folder: Path) -> None:
    words = tokenizer("<image>")
    former = {
        key: TEXT[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    }
    language = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    language |= {"word_embed_proj_dim": 16, "vocab_size": len(words), "model_type": "opt", **_ends()}
    config = hf.Blip2Config(
        vision_config={**VISION, "model_type": "blip_2_vision_model"},
        qformer_config={**former, "vocab_size": 30, "cross_attention_frequency": 1},
        text_config={**language, "max_position_embeddings": 128},
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    images = hf.BlipImageProcessor(size=SQUARE)
    _save(folder, hf.Blip2ForConditionalGeneration(config), hf.Blip2Processor(images, words, num_query_tokens=4))


def _florence2(folder: Path) -> None:
    places = tuple(f"<loc_{place}>" for place in (0, 999))
    words = tokenizer(*places, named={"image_token": "<image>"})
    vision = {"depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1]}
    vision |= {"patch_prenorm": [False, True], "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2]}
    text = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "model_type": "bart"}
    text |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": len(words)}
    text |= {"max_position_embeddings": 256, "decoder_start_token_id": 2, "forced_eos_token_id": 2, **_ends()}
    config = hf.Florence2Config(
        vision_config={**vision, "window_size": 4, "projection_dim": 16, "drop_path_rate": 0.0},
        text_config=text,
        image_token_id=words.image_token_id,
        **_ends(),
    )
    images = hf.CLIPImageProcessor(size=SQUARE, do_center_crop=False)
    images.image_seq_length = (SIDE // 8) ** 2 + 1
    processor = hf.Florence2Processor(images, words, 1)
    _save(folder, hf.Florence2ForConditionalGeneration(config), processor)


def _qwen(folder: Path, name: str, vision: dict[str, Any], processor: Any, **text: Any) -> None:
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    named |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    words = tokenizer(named=named)
    ids = {key: words.convert_tokens_to_ids(token) for key, token in named.items()}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = getattr(hf, f"{name}Config")(
        vision_config={"depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32, "patch_size": PATCH}
        | {"out_hidden_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        text_config={
            **TEXT,
            "vocab_size": len(words),
            "rope_parameters": rope,
            "head_dim": 8,
            **_ends(),
            **text,
        },
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )
    images = hf.Qwen2VLImageProcessor(**QWEN_IMAGES, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64})
    template = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    network = getattr(hf, f"{name}ForConditionalGeneration")(config)
    video = (hf.Qwen3VLVideoProcessor if name.startswith("Qwen3") else hf.Qwen2VLVideoProcessor)(**QWEN_IMAGES)
    _save(folder, network, processor(images, words, video, chat_template=template))


def _smol(folder: Path, name: str) -> None:
    specials = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    words = tokenizer(*specials)
    config = getattr(hf, f"{name}Config")(
        vision_config=VISION,
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words), **_ends()},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    sizes = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
    images = getattr(hf, f"{name}ImageProcessor")(**sizes)
    more = (hf.SmolVLMVideoProcessor(**sizes),) if name == "SmolVLM" else ()
    template = CHAT.replace("IMAGE", "<image>")
    processor = getattr(hf, f"{name}Processor")(images, words, *more, image_seq_len=4, chat_template=template)
    _save(folder, getattr(hf, f"{name}ForConditionalGeneration")(config), processor)


def _lfm2(folder: Path) -> None:
    named = {"image_token": "<image>", "image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>"}
    words = tokenizer(named={**named, "image_thumbnail": "<|img_thumbnail|>"})
    vision = {key: value for key, value in VISION.items() if key != "image_size"} | {"num_patches": 16}
    layers = {"layer_types": ["full_attention", "conv"], "block_ff_dim": 32, "tie_word_embeddings": False}
    config = hf.Lfm2VlConfig(
        vision_config={**vision, "model_type": "siglip2_vision_model"},
        text_config={**TEXT, **layers, "model_type": "lfm2", "vocab_size": len(words), **_ends()},
        image_token_id=words.image_token_id,
        projector_hidden_size=16,
        tie_word_embeddings=False,
    )
    tiles = {"tile_size": SIDE, "min_image_tokens": 4, "max_image_tokens": 16, "max_num_patches": 64}
    images = hf.Lfm2VlImageProcessor(**tiles, encoder_patch_size=PATCH, size=SQUARE)
    processor = hf.Lfm2VlProcessor(images, words, chat_template=CHAT.replace("IMAGE", "<image>"))
    _save(folder, hf.Lfm2VlForConditionalGeneration(config), processor, loud=30.0)


def _gemma3(folder: Path) -> None:
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    words = tokenizer(named=named)
    text = {**TEXT, "model_type": "gemma3_text", "head_dim": 8, "sliding_window": 64, "vocab_size": len(words)}
    config = hf.Gemma3Config(
        vision_config={**VISION, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config={**text, **_ends()},
        image_token_index=words.image_token_id,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        mm_tokens_per_image=16,
        tie_word_embeddings=False,
    )
    images, template = hf.Gemma3ImageProcessor(size=SQUARE), CHAT.replace("IMAGE", "<start_of_image>")
    processor = hf.Gemma3Processor(images, words, chat_template=template, image_seq_length=16)
    _save(folder, hf.Gemma3ForConditionalGeneration(config), processor, loud=30.0)


def _gemma4(folder: Path) -> None:
    named = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "video_token": "<|video|>"}
    words = tokenizer(named={**named, "audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"})
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    text = {**TEXT, "model_type": "gemma4_text", "sliding_window": 64, "vocab_size": len(words)}
    text |= {"head_dim": 8, "global_head_dim": 8, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0}
    config = hf.Gemma4Config(
        vision_config={**vision, "num_key_value_heads": 2, "head_dim": 8, "pooling_kernel_size": 2},
        text_config={**text, "layer_types": ["sliding_attention", "full_attention"], **_ends()},
        audio_config=None,
        tie_word_embeddings=False,
        image_token_id=words.image_token_id,
        video_token_id=words.video_token_id,
        boi_token_id=words.boi_token_id,
        eoi_token_id=words.eoi_token_id,
    )
    images = hf.Gemma4ImageProcessor(patch_size=PATCH, pooling_kernel_size=2, max_soft_tokens=70)
    sounds, videos, template = hf.Gemma4AudioFeatureExtractor(), hf.Gemma4VideoProcessor(), CHAT
    template = template.replace("IMAGE", "<|image|>")
    processor = hf.Gemma4Processor(sounds, images, words, videos, chat_template=template)
    _save(folder, hf.Gemma4ForConditionalGeneration(config), processor, loud=30.0)


def _mllama(folder: Path) -> None:
    words = tokenizer(named={"image_token": "<|image|>"})
    vision = {**VISION, "num_global_layers": 1, "attention_heads": 2, "vision_output_dim": 32, "max_num_tiles": 2}
    vision |= {"intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]}
    config = hf.MllamaConfig(
        vision_config=vision,
        text_config={**TEXT, "vocab_size": len(words), "cross_attention_layers": [1], **_ends()},
        image_token_index=words.image_token_id,
    )
    images = hf.MllamaImageProcessor(size=SQUARE, max_image_tiles=2)
    processor = hf.MllamaProcessor(images, words, chat_template=CHAT.replace("IMAGE", "<|image|>"))
    _save(folder, hf.MllamaForConditionalGeneration(config), processor)


def _onevision(folder: Path) -> None:
    words = tokenizer("<image>", "<video>")
    grids = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE]]
    config = hf.LlavaOnevisionConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words), **_ends()},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    images = hf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=grids)
    seen = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    template = CHAT.replace("IMAGE", "<image>")
    videos = hf.LlavaOnevisionVideoProcessor(size=SQUARE)
    processor = hf.LlavaOnevisionProcessor(images, words, videos, chat_template=template, **seen)
    _save(folder, hf.LlavaOnevisionForConditionalGeneration(config), processor)


def _llava_next(folder: Path) -> None:
    words = tokenizer("<image>")
    grids = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE]]
    config = hf.LlavaNextConfig(
        vision_config={**VISION, "model_type": "clip_vision_model"},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words), **_ends()},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
    )
    images = hf.LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=grids)
    template = CHAT.replace("IMAGE", "<image>")
    processor = hf.LlavaNextProcessor(images, words, PATCH, "default", template, num_additional_image_tokens=1)
    _save(folder, hf.LlavaNextForConditionalGeneration(config), processor)


def _mistral3(folder: Path) -> None:
    words = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.Mistral3Config(
        vision_config={**VISION, "model_type": "pixtral", "head_dim": 8},
        text_config={**TEXT, "model_type": "mistral", "head_dim": 8, "vocab_size": len(words), **_ends()},
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
    )
    images = hf.PixtralImageProcessor(
        patch_size={"height": 2 * PATCH, "width": 2 * PATCH}, size={"longest_edge": 2 * SIDE}
    )
    template = CHAT.replace("IMAGE", "[IMG]")
    processor = hf.PixtralProcessor(images, words, patch_size=PATCH, spatial_merge_size=2, chat_template=template)
    _save(folder, hf.Mistral3ForConditionalGeneration(config), processor)


def _llava(folder: Path) -> None:
    words = tokenizer("<image>")
    config = hf.LlavaConfig(
        vision_config={**VISION, "model_type": "clip_vision_model"},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words), **_ends()},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    images = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    processor = hf.LlavaProcessor(images, words, PATCH, "default", CHAT.replace("IMAGE", "<image>"))
    processor.num_additional_image_tokens = 1
    _save(folder, hf.LlavaForConditionalGeneration(config), processor)


def _paligemma(folder: Path) -> None:
    words = tokenizer(named={"image_token": "<image>"})
    images = hf.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(images, words)
    config = hf.PaliGemmaConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config={**TEXT, "model_type": "gemma", "vocab_size": len(words), "head_dim": 8, **_ends()},
        image_token_index=words.image_token_id,
        projection_dim=16,
    )
    _save(folder, hf.PaliGemmaForConditionalGeneration(config), processor)


def _internvl(folder: Path) -> None:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    words = tokenizer(named={**named, "video_token": "<video>"})
    config = hf.InternVLConfig(
        vision_config={**VISION, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words), **_ends()},
        image_token_id=words.context_image_token_id,
        image_seq_length=4,
    )
    images, videos = hf.GotOcr2ImageProcessor(size=SQUARE), hf.InternVLVideoProcessor(size=SQUARE)
    template = CHAT.replace("IMAGE", "<IMG_CONTEXT>\n")
    processor = hf.InternVLProcessor(images, words, videos, image_seq_length=4, chat_template=template)
    _save(folder, hf.InternVLForConditionalGeneration(config), processor)


def _kosmos2(folder: Path) -> None:
    words = tokenizer()
    processor = hf.Kosmos2Processor(hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE), words, 4)
    text = {"embed_dim": 16, "layers": 2, "ffn_dim": 32, "attention_heads": 2, "vocab_size": len(words)}
    config = hf.Kosmos2Config(
        vision_config=VISION, text_config={**text, "max_position_embeddings": 256, **_ends()}, latent_query_num=64
    )
    _save(folder, hf.Kosmos2ForConditionalGeneration(config), processor)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "blip_2": _blip2,
    "florence2": _florence2,
    "qwen2_5_vl": lambda folder: _qwen(
        folder, "Qwen2_5_VL", {"window_size": 32, "fullatt_block_indexes": [1]}, hf.Qwen2_5_VLProcessor
    ),
    "qwen3_vl": lambda folder: _qwen(
        folder, "Qwen3VL", {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}, hf.Qwen3VLProcessor
    ),
    "qwen3_5": lambda folder: _qwen(
        folder, "Qwen3_5", {"num_position_embeddings": 16}, hf.Qwen3VLProcessor, **LINEAR, rope_parameters=ALL_TURN
    ),
    "idefics3": lambda folder: _smol(folder, "Idefics3"),
    "smolvlm": lambda folder: _smol(folder, "SmolVLM"),
    "lfm2_vl": _lfm2,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _onevision,
    "mistral3": _mistral3,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "mllama": _mllama,
    "paligemma": _paligemma,
    "internvl": _internvl,
    "kosmos2": _kosmos2,
}


def save(family: str, folder: Path) -> Path:
    """A folder of a family."""
    torch.manual_seed(0)
    FAMILIES[family](folder)
    return folder


def _ends() -> dict[str, int]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _save(folder: Path, network: Any, processor: Any, loud: float = 1.0) -> None:
    """`loud`: how much more than the text an image counts."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.5)
        for name, weight in network.named_parameters():
            if name.endswith("_gate"):  # of Llama's attention to the image, which is shut at first
                weight.fill_(2.0)
            if name.startswith(("model.multi_modal_projector", "model.embed_vision")):
                weight.mul_(loud)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
