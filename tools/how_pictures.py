"""The pictures of docs/how-it-works.md, made by the quickstart's models: `python -m tools.how_pictures`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from fiftyone_ssa import build_pipeline, load_preset
from fiftyone_ssa.folders.overlay import overlay_jpeg
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle
from fiftyone_ssa.quickstart.run import draw
from fiftyone_ssa.types import Annotation, Image, Inputs, SemanticMap

OUT = Path(__file__).parents[1] / "docs/how"
SEED = 2
WIDTH, MARGIN, TITLE = 560, 16, 34
INK, PAPER, GREY = (30, 30, 40), (255, 255, 255), (110, 110, 120)


def main() -> None:
    """Name one scene both ways, and draw what happened on the way."""
    image = draw(SEED).image
    (ssa,) = build_pipeline(load_preset("mini-ssa"), keep_branch=True)([Inputs(image)])
    (engine,) = build_pipeline(load_preset("mini-engine"))([Inputs(image, masks=ssa.masks)])
    assert ssa.branch is not None
    assert ssa.semantic is not None
    panels = [
        ("1  SAM's masks: exact, without names", masks_picture(image, ssa)),
        ("2  A segmenter's class map: names, blurry", map_picture(image, ssa.branch)),
        ("3  Every mask takes a vote over the map", overlay(image, ssa)),
        ("4  The map, sharpened by the masks", map_picture(image, ssa.semantic)),
    ]
    save(sheet(panels, columns=2), "ssa")
    save(proposals_picture(image, engine), "engine")


def decoded(annotation: Annotation, i: int) -> npt.NDArray[np.bool_]:
    """Mask i, dense."""
    return rle.decode(annotation.masks.rles[i], annotation.masks.size_hw)


def overlay(image: Image, annotation: Annotation) -> PIL.Image.Image:
    """The picture that the command draws with --save-images."""
    return PIL.Image.open(io.BytesIO(overlay_jpeg(image, annotation)))


def masks_picture(image: Image, annotation: Annotation) -> PIL.Image.Image:
    """Each mask in a colour that means nothing."""
    picture, colours = image.astype(np.float32), np.random.default_rng(1).integers(40, 256, (999, 3))
    for place, i in enumerate(annotation.masks.order_by_area()):
        mask = decoded(annotation, int(i))
        picture[mask] = 0.35 * image[mask] + 0.65 * colours[place % 999]
    return PIL.Image.fromarray(picture.astype(np.uint8))


def map_picture(image: Image, semantic: SemanticMap) -> PIL.Image.Image:
    """A class map over its image, in the App's colours."""
    table = np.full((256, 3), 255, np.float32)
    for number, name in enumerate(semantic.names):
        table[number] = PIL.ImageColor.getrgb(colour_of(name))[:3]
    return PIL.Image.fromarray((0.25 * image + 0.75 * table[semantic.ids]).astype(np.uint8))


def sheet(panels: Sequence[tuple[str, PIL.Image.Image]], columns: int) -> PIL.Image.Image:
    """Pictures of one width, each under its title."""
    scaled = [(title, p.convert("RGB").resize((WIDTH, p.height * WIDTH // p.width))) for title, p in panels]
    height = max(p.height for _, p in scaled) + TITLE + MARGIN
    rows = -(-len(scaled) // columns)
    paper = PIL.Image.new("RGB", (columns * (WIDTH + MARGIN) + MARGIN, rows * height + MARGIN), PAPER)
    pen = PIL.ImageDraw.Draw(paper)
    for place, (title, picture) in enumerate(scaled):
        x, y = MARGIN + place % columns * (WIDTH + MARGIN), MARGIN + place // columns * height
        pen.text((x, y + 4), title, INK, PIL.ImageFont.load_default(20))
        paper.paste(picture, (x, y + TITLE))
    return paper


def proposals_picture(image: Image, annotation: Annotation, most: int = 6) -> PIL.Image.Image:
    """Masks of several names with what was proposed for each, and by how much the first one won."""
    small = (
        annotation.masks.boxes_xywh[:, 2:].max(axis=1) < 0.7 * image.shape[1]
    )  # a crop of a whole image shows little
    chosen = [i for i in annotation.masks.order_by_area() if small[i] and annotation.labels[i]]
    different = {annotation.labels[i]: int(i) for i in reversed(chosen)}
    picked = sorted(different.values(), key=lambda i: -annotation.masks.areas_px[i])[:most]
    row, crop = 150, 130
    paper = PIL.Image.new("RGB", (960, len(picked) * row + MARGIN), PAPER)
    for place, i in enumerate(picked):
        top = MARGIN + place * row
        paper.paste(_crop(image, annotation, i, crop), (MARGIN, top))
        _write(paper, annotation, i, (MARGIN + crop + 24, top))
    return paper


def _crop(image: Image, annotation: Annotation, i: int, side: int) -> PIL.Image.Image:
    """The mask in its surroundings, these dimmed."""
    x, y, width, height = annotation.masks.boxes_xywh[i]
    half = 0.75 * max(width, height)
    box = tuple(
        round(v) for v in (x + width / 2 - half, y + height / 2 - half, x + width / 2 + half, y + height / 2 + half)
    )
    shown = np.where(decoded(annotation, i)[..., None], image, (0.35 * image + 140).astype(np.uint8))
    pad = int(2 * half)  # beyond the image is paper
    padded = np.pad(shown, ((pad, pad), (pad, pad), (0, 0)), constant_values=255).astype(np.uint8)
    whole = PIL.Image.fromarray(padded).crop(tuple(edge + pad for edge in box))
    return whole.resize((side, side), PIL.Image.Resampling.LANCZOS)


def _write(paper: PIL.Image.Image, annotation: Annotation, i: int, corner_xy: tuple[int, int]) -> None:
    pen, (x, y) = PIL.ImageDraw.Draw(paper), corner_xy
    pen.text((x, y), f"caption: {annotation.captions[i]}", GREY, PIL.ImageFont.load_default(18))
    proposals = annotation.proposals[i]
    for place, (name, score) in enumerate(list(zip(proposals.names, proposals.scores, strict=True))[:3]):
        top = y + 34 + 30 * place
        pen.text((x, top), name, INK, PIL.ImageFont.load_default(20))
        pen.rectangle((x + 260, top + 4, x + 260 + 420, top + 20), outline=(220, 220, 225))
        pen.rectangle((x + 260, top + 4, x + 260 + 420 * float(score), top + 20), fill=colour_of(name))
        pen.text((x + 700, top), f"{score:.2f}", GREY, PIL.ImageFont.load_default(18))


def save(picture: PIL.Image.Image, name: str) -> None:
    """As a JPEG of docs/how."""
    OUT.mkdir(exist_ok=True)
    picture.save(OUT / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
