"""Authors' checkpoints answer as their authors' networks do; one that is damaged or of another kind is told."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam as SegmentAnythingSam
from torch import nn

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import sam2_checkpoint, sam_checkpoint
from fiftyone_ssa.models.sam import load_sam
from fiftyone_ssa.types import Floats, Image
from tests.models.author_checkpoints import HQDecoder, TinyVitSam, decoder, register_tiny_sam2, sam2_checkpoint_of
from tests.models.tiny_sam import SIDE, SegmentAnything, randomize, segment_anything_sam
from tests.models.tiny_sam_hub import save

CPU = torch.device("cpu")
POINTS = np.array([[3.0, 80.0], [35.5, 45.5], [69.0, 0.0]])


def photo() -> Image:
    return np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def answers(name: Path, image: Image, points_xy: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    sam = load_sam(str(name), CPU, torch.float32)
    with torch.inference_mode():
        return sam.decode(sam.encode(image), points_xy)


class Encoder(nn.Module):
    """A network's image encoder where segment_anything looks for it."""

    def __init__(self, network: TinyVitSam) -> None:
        super().__init__()
        self.network = network
        self.img_size = 1024

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network.embed(pixels)[0]


@torch.inference_mode()
def test_mobile_sam(tmp_path: Path) -> None:
    network = TinyVitSam(decoder())
    torch.save(network.checkpoint(), tmp_path / "mobile_sam.pt")
    plain = SegmentAnything(SegmentAnythingSam(Encoder(network), network.prompt_encoder, network.mask_decoder).eval())
    expected = plain.decode(plain.encode(photo()), POINTS)
    logits, ious = answers(tmp_path / "mobile_sam.pt", photo(), POINTS)
    assert logits.shape == (3, 3, 256, 256)
    torch.testing.assert_close(logits, expected[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ious, expected[1], atol=1e-4, rtol=1e-3)


def hq_answers(sam: Any, early: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What SAM-HQ's decoder makes of an image and points, with `early()` for the features of its encoder's middle."""
    plain = SegmentAnything(sam)
    frame = plain.encode(photo()).frame
    points = torch.as_tensor(frame.to_input(POINTS))[:, None]
    sparse, dense = sam.prompt_encoder((points, torch.ones(points.shape[:2], dtype=torch.int)), None, None)
    assert torch.equal(dense[:1], dense[1:2])
    # the image's own embeddings make its fine features, those with the prompt go through the transformer
    embeddings, positions = plain.predictor.features, sam.prompt_encoder.get_dense_pe()
    hq, given = sam.mask_decoder, embeddings + dense[:1]
    fine = hq.embedding_encoder
    hq.embedding_encoder = nn.Identity()
    hq.embedding_encoder.forward = lambda _: fine(embeddings)
    found = hq.masks(given, positions, sparse, early())
    hq.embedding_encoder = fine
    return found


@torch.inference_mode()
def test_sam_hq(tmp_path: Path) -> None:
    """And a folder of it, which transformers itself decodes wrongly."""
    sam = segment_anything_sam()
    sam.mask_decoder = HQDecoder(vit_dim=32)
    randomize(sam, seed=0)
    torch.save(sam.state_dict(), tmp_path / "sam_hq_vit_b.pth")
    kept: list[torch.Tensor] = []
    sam.image_encoder.blocks[1].register_forward_hook(lambda _, __, found: kept.append(found))  # the first global one
    expected = hq_answers(sam, lambda: kept[-1])
    logits, ious = answers(tmp_path / "sam_hq_vit_b.pth", photo(), POINTS)
    assert logits.shape == (3, 1, 32, 32)
    torch.testing.assert_close(logits, expected[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ious, expected[1], atol=1e-4, rtol=1e-3)
    sam_checkpoint.read_checkpoint(tmp_path / "sam_hq_vit_b.pth").save_pretrained(tmp_path / "folder")
    from transformers import SamImageProcessor

    size = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    SamImageProcessor(**size).save_pretrained(tmp_path / "folder")
    by_folder = answers(tmp_path / "folder", photo(), POINTS)
    # resized by torchvision instead of Pillow: a grey level here and there
    assert ((by_folder[0] > 0) == (logits > 0)).float().mean() > 0.98


@torch.inference_mode()
def test_sam_hqs_light_model(tmp_path: Path) -> None:
    network = TinyVitSam(HQDecoder(vit_dim=16))
    torch.save(network.checkpoint(), tmp_path / "sam_hq_vit_tiny.pth")
    sam = SegmentAnythingSam(Encoder(network), network.prompt_encoder, network.mask_decoder).eval()
    plain = SegmentAnything(sam)
    plain.predictor.set_image(photo())
    expected = hq_answers(sam, lambda: network.embed(_pixels(plain))[1])
    logits, ious = answers(tmp_path / "sam_hq_vit_tiny.pth", photo(), POINTS)
    torch.testing.assert_close(logits, expected[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ious, expected[1], atol=1e-4, rtol=1e-3)


def _pixels(plain: SegmentAnything) -> torch.Tensor:
    resized = plain.predictor.transform.apply_image(photo())
    pixels: torch.Tensor = plain.predictor.model.preprocess(torch.as_tensor(resized).permute(2, 0, 1)[None])
    return pixels


def test_sam_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same answers, to the bit, as from the folder of the same weights."""
    from transformers import Sam2Model

    register_tiny_sam2(monkeypatch)
    folder = save("sam2", tmp_path / "folder")
    model = Sam2Model.from_pretrained(folder)
    model.shared_image_embedding.positional_embedding.copy_(model.prompt_encoder.shared_embedding.positional_embedding)
    model.save_pretrained(folder)  # random ones have two of what real ones have one
    torch.save(sam2_checkpoint_of(model), tmp_path / "sam2.1_hiera_tiny.pt")
    for ours, expected in zip(
        answers(tmp_path / "sam2.1_hiera_tiny.pt", photo(), POINTS), answers(folder, photo(), POINTS), strict=True
    ):
        torch.testing.assert_close(ours, expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("width", "blocks", "millions"),
    [
        (96, (1, 2, 7, 2), 31.4),
        (96, (1, 2, 11, 2), 38.5),
        (112, (2, 3, 16, 3), 73.3),
        (144, (2, 6, 36, 4), 216.9),
    ],
)
def test_the_published_sizes_of_sam_2(width: int, blocks: tuple[int, ...], millions: float) -> None:
    """Told from tensors of their shapes: the parameters of `sam2`'s own models without those for video."""
    import transformers as hf

    known = sam2_checkpoint.SIZES[width, blocks]
    widths = [width << stage for stage in range(4)]
    backbone = hf.Sam2HieraDetConfig(hidden_size=width, embed_dim_per_stage=widths, blocks_per_stage=list(blocks))
    backbone.window_positional_embedding_background_size = [7, 7]
    vision = hf.Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    with torch.device("meta"):
        model = hf.Sam2Model(hf.Sam2Config(vision_config=vision))
        config = sam2_checkpoint.sam2_config(sam2_checkpoint_of(model)["model"])
        told = hf.Sam2Model(config)
    assert {name: tensor.shape for name, tensor in told.state_dict().items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }
    assert sum(weight.numel() for weight in told.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    assert config.vision_config.backbone_config.global_attention_blocks == known["global_attention_blocks"]


def test_a_sam_2_of_other_sizes(tmp_path: Path) -> None:
    from transformers import Sam2Model

    torch.save(sam2_checkpoint_of(Sam2Model.from_pretrained(save("sam2", tmp_path))), tmp_path / "own.pt")
    with pytest.raises(InputError, match=r"whole checkpoint of SAM 2 .* is none of tiny, small, base\+ and large"):
        load_sam(str(tmp_path / "own.pt"), CPU, torch.float32)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.pth", None, "gone.pth does not exist; give a SAM, SAM-HQ, SAM 2 or 2.1"),
        ("empty.pth", b"", "damaged or no PyTorch checkpoint"),
        ("text.pth", b"not a checkpoint", "damaged or no PyTorch checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        load_sam(str(tmp_path / name), CPU, torch.float32)
    assert "\n" not in str(raised.value)


class Whole(nn.Module):
    """A model saved with its code, as FastSAM's is."""


def test_a_file_with_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": Whole()}, tmp_path / "FastSAM-s.pt")
    with pytest.raises(InputError, match="holds code besides weights, which is not run; give a SAM") as raised:
        load_sam(str(tmp_path / "FastSAM-s.pt"), CPU, torch.float32)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "a PyTorch file but no checkpoint of SAM; give a SAM, SAM-HQ"),
        ([1, 2], "a PyTorch file but no checkpoint of SAM"),
        ({"epoch": 3}, "a PyTorch file but no checkpoint of SAM"),
        (OrderedDict({"conv.weight": torch.zeros(1)}), "a PyTorch file but no checkpoint of SAM"),
        ({"model": {"image_encoder.trunk.body.stem.weight": torch.zeros(1)}}, "of EdgeTAM; give yonigozlan/EdgeTAM"),
        ({"detector.backbone.weight": torch.zeros(1)}, "of SAM 3; give facebook/sam3 or its folder"),
        ({"image_encoder.backbone.stem.weight": torch.zeros(1)}, "of EfficientViT-SAM or RepViT-SAM"),
        ({sam_checkpoint.VIT_MARK: torch.zeros(1, 8, 8, 32)}, "not a whole checkpoint of SAM with ViT"),
        ({sam2_checkpoint.MARK: torch.zeros(1, 8, 8, 32)}, "not a whole checkpoint of SAM 2"),
    ],
)
def test_checkpoints_of_other_models(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message) as raised:
        load_sam(str(tmp_path / "other.pth"), CPU, torch.float32)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("image_encoder.blocks.1.", "not a whole checkpoint of SAM with ViT"),
        ("mask_decoder.transformer.layers.1.", "1 decoder layers instead of"),
        ("mask_decoder.transformer.layers.0.", "not a whole checkpoint of SAM with ViT"),
        ("mask_decoder.iou_prediction_head.layers.1.", "not a whole checkpoint of SAM with ViT"),
        ("prompt_encoder.not_a_point_embed", "not a whole checkpoint of SAM with ViT"),
    ],
)
def test_a_checkpoint_with_a_layer_cut_out(part: str, said: str, tmp_path: Path) -> None:
    weights = {key: value for key, value in segment_anything_sam().state_dict().items() if part not in key}
    torch.save(weights, tmp_path / "cut.pth")
    with pytest.raises(InputError, match=said):
        load_sam(str(tmp_path / "cut.pth"), CPU, torch.float32)


def test_a_published_width_has_its_published_depth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last block leaves no trace in the others."""
    weights = {key: value for key, value in segment_anything_sam().state_dict().items() if ".blocks.2." not in key}
    torch.save(weights, tmp_path / "cut.pth")
    monkeypatch.setitem(sam_checkpoint.PUBLISHED_DEPTHS, 32, 3)
    with pytest.raises(InputError, match="2 blocks and 2 decoder layers instead of 3 and 2"):
        load_sam(str(tmp_path / "cut.pth"), CPU, torch.float32)
