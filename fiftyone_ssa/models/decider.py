"""CLIPSeg: which of a mask's proposals covers most of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.clipseg import WHAT, NameDecoder, Tower, load_clipseg
from fiftyone_ssa.models.devices import finer, plan_chunks, upload
from fiftyone_ssa.models.enlarging import EnlargedPatches
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.quick_gelu import in_one_pass
from fiftyone_ssa.models.ragged import Ragged
from fiftyone_ssa.models.replay import Replay
from fiftyone_ssa.models.windows import Windows

SIDE = 512
"""Crops are shown at 512x512, as published; CLIPSeg interpolates its positions to that."""
TEXTS_KEPT = 1 << 15
CLOSE = 0.03
"""In half precision, names whose pixels differ by no more than this share of a mask's are asked again in float32.

Of the parity engine's 120 masks float16 changed 6 among three names, none further apart than .009, and between two
names some up to .027 apart. Of trained models half a mask in a hundred is as close as this.
"""
CLOSE_AT_A_TIME = 2


class Decider:
    """Segments each crop once per name and counts, inside the mask, where which name scores highest.

    `model` is the Hugging Face id or folder of a CLIPSeg. A crop goes through the vision tower once, and only through
    the layers that the decoder taps; a name is embedded once a run; scores are looked at in the mask's box only.
    On the CPU in float32 crops are prepared and scores counted crop by crop, elsewhere chunk by chunk. In half
    precision what is close, or too large for it, is decided in float32, so that labels do not hang on rounding. At most
    `most` crops are looked at in one go. Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype, *, most: int | None = None) -> None:
        self._device, self._dtype = device, finer(dtype)
        half, what = self._dtype != torch.float32, WHAT if most is None else f"{WHAT} in float32"
        self._in_float32 = Decider(model, device, torch.float32, most=CLOSE_AT_A_TIME) if half else None
        processor, self._tokenizer, network = load_clipseg(model, self._dtype)
        self._network = in_one_pass(network, device, self._dtype).to(device)
        self._grid = SIDE // network.config.vision_config.patch_size
        self._longest = int(network.config.text_config.max_position_embeddings)
        self._tower = Tower(network, SIDE).requires_grad_(False).eval()
        self._decoder = NameDecoder(network, self._grid).requires_grad_(False).eval()
        self._one_pass = Replay(self._all_names, device, WHAT)
        std = torch.tensor(processor.image_std)[:, None, None]
        self._scale = (processor.rescale_factor / std).to(device)
        self._shift = (-torch.tensor(processor.image_mean)[:, None, None] / std).to(device)
        self._ends = self._pick_ends(crop_by_crop=device.type == "cpu" and dtype == torch.float32)
        self._texts = plan_chunks(
            lambda rows: self._embed(["a"] * rows),
            network.clip.text_model,
            device,
            most=32,
            what=f"{what}'s texts",
            pad=True,
        )
        self._known = Memo(lambda names: self._texts.map(self._embed, names), TEXTS_KEPT)
        most = most or (16 if device.type == "cpu" else 32)
        self._crops = plan_chunks(self._decide_blank, network.clip.vision_model, device, most=most, what=what)

    def _pick_ends(self, *, crop_by_crop: bool) -> Windows | Ragged:
        """What happens before the networks and after them."""
        embed = self._network.clip.vision_model.embeddings.patch_embedding
        if crop_by_crop:
            patches = EnlargedPatches(embed, SIDE, self._scale, self._shift)
            return Windows(patches, self._decoder.spread, self._grid, self._decoder.margin)

        def embedded(pixels: torch.Tensor) -> torch.Tensor:
            seen: torch.Tensor = embed(pixels.mul_(self._scale).add_(self._shift).to(self._dtype)).flatten(2).mT
            return seen

        return Ragged(embedded, self._decoder.spread, self._grid, SIDE, tf32=self._dtype != torch.float32)

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[npt.NDArray[np.int64]]]:
        """For each question (names, 2): of its box's pixels those that each name wins, inside the mask and outside.

        Ties go to the first name; a name without rivals wins the mask and nothing else.
        """
        open_ones = [[question for question in group if len(question.names) > 1] for group in groups]
        decided = self._decide_all(open_ones)
        if self._in_float32 is not None:
            close = [[place for place, count in enumerate(counts) if _is_close(count)] for counts in decided]
            asked = [[group[place] for place in places] for group, places in zip(open_ones, close, strict=True)]
            for counts, places, answers in zip(decided, close, self._in_float32(asked), strict=True):
                for place, answer in zip(places, answers, strict=True):
                    counts[place] = answer
        found = chain.from_iterable(decided)
        return [[next(found) if len(question.names) > 1 else _area(question) for question in group] for group in groups]

    def _decide_all(self, groups: Sequence[Sequence[Question]]) -> list[list[npt.NDArray[np.int64]]]:
        """Counts for questions of two names or more."""
        self._known([name for question in chain.from_iterable(groups) for name in question.names])
        # questions of like size are looked at together, as each chunk is as large as its largest
        orders = [np.argsort([self._ends.cells(question) for question in group], kind="stable") for group in groups]
        sorted_groups = [[group[place] for place in order] for group, order in zip(groups, orders, strict=True)]
        counts = list(chain.from_iterable(self._crops.map_groups(self._decide, sorted_groups)))
        answers = torch.cat(counts).cpu().numpy() if counts else np.zeros((0, 2), np.int64)
        decided = iter(np.split(answers, np.cumsum([len(count) for count in counts])))
        found = []
        for group, order in zip(groups, orders, strict=True):
            by_place = {place: next(decided) for place in order.tolist()}
            found.append([by_place[place][: len(question.names)] for place, question in enumerate(group)])
        return found

    @torch.inference_mode()
    def _decide(self, chunk: Sequence[Question]) -> Sequence[torch.Tensor]:
        """(most names, 2) counts for each question; nothing here waits for the device."""
        patches, places = self._ends.patches(chunk), self._ends.places(chunk)
        most = max(len(question.names) for question in chunk)
        asked = [[question.names[min(turn, len(question.names) - 1)] for question in chunk] for turn in range(most)]
        conditions = self._conditions(asked)
        if self._ends.one_pass:
            cells = self._one_pass(patches=patches, conditions=conditions)["cells"]
        else:
            seen = self._tower(patches)
            cells = torch.stack([self._decoder(seen, of_names, places) for of_names in conditions], 1)
        counts = self._ends.counts(chunk, cells)
        if self._in_float32 is not None:  # what overflows in half wins nothing, which is close
            counts = counts * cells.flatten(1).isfinite().all(1)[:, None, None]
        return list(counts)

    def _all_names(self, patches: torch.Tensor, conditions: torch.Tensor) -> dict[str, torch.Tensor]:
        """`"cells"` (rows, names, channels, grid, grid), of (names, rows, width) conditions, all in one pass."""
        names, rows, _ = conditions.shape
        seen = [tokens.repeat(names, 1, 1) for tokens in self._tower(patches)]
        cells = self._decoder(seen, conditions.flatten(0, 1))
        return {"cells": cells.view(names, rows, *cells.shape[1:]).transpose(0, 1)}

    def _conditions(self, asked: Sequence[Sequence[str]]) -> torch.Tensor:
        """(turns, rows, width) what stands for each name."""
        known = self._known([name for names in asked for name in names])
        return upload(np.stack(known), self._device).to(self._dtype).view(len(asked), len(asked[0]), -1)

    @torch.inference_mode()
    def _embed(self, names: Sequence[str]) -> Sequence[npt.NDArray[np.float32]]:
        """The condition that stands for each name; longer ones than the text encoder takes are cut."""
        tokens = self._tokenizer(
            list(names), padding="max_length", truncation=True, max_length=self._longest, return_tensors="pt"
        )
        texts = self._network.clip.text_model(
            input_ids=upload(tokens["input_ids"].numpy(), self._device),
            attention_mask=upload(tokens["attention_mask"].numpy(), self._device),
        )
        return list(self._network.clip.text_projection(texts.pooler_output).float().cpu().numpy())

    def _decide_blank(self, rows: int) -> None:
        image, whole = torch.zeros((8, 8, 3), dtype=torch.uint8, device=self._device), (0, 0, 8, 8)
        mask = masks.encode(np.ones((8, 8), np.bool_))
        self._decide([Question(image, whole, whole, mask, (8, 8), ("a", "b", "c"), image)] * rows)


def _is_close(count: npt.NDArray[np.int64]) -> bool:
    """Whether the two names that win most of a mask's pixels, of (names, 2) counts, are as good as tied."""
    inside = np.sort(count[:, 0])
    return bool(inside[-1] - inside[-2] <= CLOSE * inside.sum())


def _area(question: Question) -> npt.NDArray[np.int64]:
    """(1, 2) the mask's pixels in the crop, all of which a name without rivals wins, and none outside."""
    return np.array([[np.count_nonzero(masks.decode_crop(question.rle, question.size_hw, question.box_xyxy)), 0]])
