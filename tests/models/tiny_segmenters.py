"""Tiny randomly initialised segmenters of the real architectures, saved as folders that load like the large ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

LABELS = {0: "sky", 1: "road ", 2: "tree", 3: "car", 4: "house"}
NAMES = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
SWIN = {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
SQUARE = {"height": 64, "width": 64}
VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
DATA2VEC = {"use_auxiliary_head": False, "pool_scales": [1, 2]}
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def segformer() -> tuple[Any, Any]:
    config = hf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **NAMES,
    )
    return hf.SegformerForSemanticSegmentation(config), hf.SegformerImageProcessor(size={"height": 64, "width": 64})


def upernet() -> tuple[Any, Any]:
    backbone = hf.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=STAGES)
    config = hf.UperNetConfig(backbone_config=backbone, hidden_size=16, auxiliary_in_channels=16, **NAMES)
    return hf.UperNetForSemanticSegmentation(config), hf.SegformerImageProcessor(size={"height": 64, "width": 64})


def dpt() -> tuple[Any, Any]:
    config = hf.DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        use_auxiliary_head=False,
        **NAMES,
    )
    return hf.DPTForSemanticSegmentation(config), hf.DPTImageProcessor(size={"height": 64, "width": 64})


def beit() -> tuple[Any, Any]:
    config = hf.BeitConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        out_indices=[1, 2, 3, 4],
        use_auxiliary_head=False,
        pool_scales=[1, 2],
        **NAMES,
    )
    return hf.BeitForSemanticSegmentation(config), hf.BeitImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False
    )


def mask2former() -> tuple[Any, Any]:
    config = hf.Mask2FormerConfig(
        backbone_config=hf.SwinConfig(out_features=STAGES, **SWIN),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=7,
        **NAMES,
    )
    processor = hf.Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}, num_labels=len(LABELS))
    return hf.Mask2FormerForUniversalSegmentation(config), processor


def maskformer() -> tuple[Any, Any]:
    config = hf.MaskFormerConfig(
        backbone_config=hf.SwinConfig(out_features=STAGES, **SWIN),
        decoder_config=hf.DetrConfig(
            d_model=32, encoder_layers=1, decoder_layers=1, num_queries=7, decoder_attention_heads=2
        ),
        fpn_feature_size=32,
        mask_feature_size=32,
        **NAMES,
    )
    processor = hf.MaskFormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}, num_labels=len(LABELS))
    return hf.MaskFormerForInstanceSegmentation(config), processor


def eomt() -> tuple[Any, Any]:
    config = hf.EomtConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_blocks=1,
        num_queries=7,
        num_upscale_blocks=1,
        **NAMES,
    )
    processor = hf.EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": None}, do_split_image=True, do_pad=False
    )
    return hf.EomtForUniversalSegmentation(config), processor


def mobilevit() -> tuple[Any, Any]:
    """As published with DeepLab: the shorter side to a little more than what is cut out of the middle."""
    config = hf.MobileViTConfig(
        image_size=64,
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[8, 8, 8, 16, 16, 16, 32],
        num_attention_heads=2,
        aspp_out_channels=16,
        atrous_rates=[1, 2, 3],
        initializer_range=0.5,
        **NAMES,
    )
    processor = hf.MobileViTImageProcessor(size={"shortest_edge": 68}, crop_size={"height": 64, "width": 64})
    return hf.MobileViTForSemanticSegmentation(config), processor


def mobilenet_v2() -> tuple[Any, Any]:
    """Likewise."""
    config = hf.MobileNetV2Config(image_size=64, depth_multiplier=0.35, output_stride=8, **NAMES)
    processor = hf.MobileNetV2ImageProcessor(size={"shortest_edge": 68}, crop_size={"height": 64, "width": 64})
    return hf.MobileNetV2ForSemanticSegmentation(config), processor


def data2vec() -> tuple[Any, Any]:
    config = hf.Data2VecVisionConfig(**VIT, intermediate_size=32, out_indices=[1, 2, 3, 4], **DATA2VEC, **NAMES)
    processor = hf.BeitImageProcessor(size=SQUARE, do_center_crop=False)
    return hf.Data2VecVisionForSemanticSegmentation(config), processor


def eomt_dinov3() -> tuple[Any, Any]:
    config = hf.EomtDinov3Config(
        **{**VIT, "num_hidden_layers": 2},
        intermediate_size=32,
        num_blocks=1,
        num_queries=7,
        num_upscale_blocks=1,
        **NAMES,
    )
    return hf.EomtDinov3ForUniversalSegmentation(config), eomt()[1]


def sapiens2() -> tuple[Any, Any]:
    """Which sees pictures of people, higher than wide."""
    size, head = {"height": 64, "width": 48}, {"upsample_out_channels": [16, 16], "conv_out_channels": [16]}
    sides = {"image_size": [64, 48], "intermediate_size": 32}
    config = hf.Sapiens2Config(**{**VIT, **sides}, head_config=head, **NAMES)
    return hf.Sapiens2ForSemanticSegmentation(config), hf.Sapiens2ImageProcessor(size=size)


def tipsv2_dpt() -> tuple[Any, Any]:
    backbone = hf.Tipsv2VisionConfig(**VIT, out_indices=[1, 2, 3, 4], reshape_hidden_states=False)
    neck = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}
    config = hf.Tipsv2DptConfig(backbone_config=backbone, **neck, **NAMES)
    return hf.Tipsv2DptForSemanticSegmentation(config), hf.Tipsv2DptImageProcessor(size=SQUARE)


def rf_detr() -> tuple[Any, Any]:
    """No segmenter: it finds things."""
    backbone = hf.RfDetrDinov2Config(**VIT, out_features=["stage2", "stage4"], num_windows=2)
    heads = {"decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2}
    sizes = {"d_model": 16, "decoder_ffn_dim": 32, "decoder_layers": 2, "num_queries": 9, "group_detr": 1}
    config = hf.RfDetrConfig(backbone_config=backbone, **sizes, **heads, **NAMES)
    network = hf.RfDetrForInstanceSegmentation(config)
    torch.nn.init.zeros_(network.model.class_embed.bias)  # which says at first that nothing is there
    return network, hf.RfDetrImageProcessor(size=SQUARE)


FAMILIES = {
    build.__name__: build
    for build in (segformer, upernet, dpt, beit, mask2former, maskformer, eomt, mobilevit, mobilenet_v2)
}
FAMILIES |= {build.__name__: build for build in (data2vec, eomt_dinov3, sapiens2, tipsv2_dpt)}


def save(family: str, folder: Path, spread: float = 0.0) -> Path:
    """`spread`: the standard deviation of weights, for answers that differ more than those of fresh networks."""
    torch.manual_seed(0)
    model, processor = {**FAMILIES, "rf_detr": rf_detr}[family]()
    for weight in model.parameters() if spread else ():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, 0, spread)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
