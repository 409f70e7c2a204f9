"""What is fuzzed: for each format how an input is made of a seed, and the function that has to read it.

Each answer must be a value or an InputError of one sentence.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tests.fuzz.bending import as_json, bent, odd_value, torn

HW = (12, 17)
PLACE = Path(tempfile.gettempdir())
"""Where the input that is read lies; the worker sets a folder of its own."""


@dataclass(frozen=True)
class Fuzz:
    """One format."""

    make: Callable[[random.Random], Any]
    read: Callable[[Any], object]


def _written(name: str, content: bytes) -> Path:
    path = PLACE / name
    path.write_bytes(content)
    return path


@functools.cache
def _codes() -> list[str]:
    """Compressed codes of a few masks of an image of `HW`."""
    from fiftyone_ssa.masks.rle import encode

    masks = np.random.default_rng(0).random((6, *HW)) < np.array([0, 0.02, 0.2, 0.5, 0.9, 1]).reshape(6, 1, 1)
    masks[3, 2:7, 3:9] = True
    return [encode(mask).decode() for mask in masks]


# ---- masks and numbers ----------------------------------------------------------------------------------------------


def _ring(rng: random.Random) -> list[float]:
    points = rng.choice((3, 3, 4, 5, 9))
    return [round(rng.uniform(-2, side + 2), 1) for _ in range(points) for side in (HW[1], HW[0])]


def _segmentation(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.4:
        return {"size": list(HW), "counts": rng.choice(_codes())}
    if kind < 0.55:
        first, second = sorted(rng.randrange(HW[0] * HW[1]) for _ in range(2))
        return {"size": list(HW), "counts": [first, second - first, HW[0] * HW[1] - second]}
    if kind < 0.8:
        return [_ring(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
    if kind < 0.9:
        return _ring(rng)
    one = rng.choice((1, True, 255, 1.0))
    return [[one * rng.randrange(2) for _ in range(HW[1])] for _ in range(HW[0])]


def _annotation(rng: random.Random) -> dict[str, Any]:
    return {
        "id": rng.randrange(10**9),
        "segmentation": _segmentation(rng),
        "area": 7,
        "bbox": [1, 2, 3, 4],
        "predicted_iou": 0.9,
        "stability_score": 0.95,
        "point_coords": [[1.5, 2.5]],
        "crop_box": [0, 0, HW[1], HW[0]],
    }


def _mask_file(rng: random.Random) -> bytes:
    record = {
        "image": {"image_id": 1, "width": HW[1], "height": HW[0], "file_name": "a.jpg"},
        "annotations": [_annotation(rng) for _ in range(rng.choice((0, 1, 1, 2, 5)))],
    }
    return as_json(rng, bent(rng, record, rng.choice((0, 1, 1, 2, 5))))


def _read_mask_file(content: bytes) -> object:
    from fiftyone_ssa.files.json_file import plain
    from fiftyone_ssa.folders.sa1b_json import read_masks
    from fiftyone_ssa.masks.rle import scaled_crop_xyxy

    masks = read_masks(_written("masks.json", content), HW)
    for box in masks.source_boxes_xywh:  # what the engine does with it next
        x0, y0, x1, y1 = scaled_crop_xyxy(box, 1.6, HW)
        assert 0 <= x0 < x1 <= HW[1]
        assert 0 <= y0 < y1 <= HW[0]
    return json.dumps(plain(list(masks.records)), allow_nan=False)


def _rle(rng: random.Random) -> bytes:
    code = rng.choice(_codes()).encode()
    kind = rng.random()
    if kind < 0.1:
        return code
    if kind < 0.6:
        data = bytearray(code)
        for _ in range(rng.choice((1, 1, 2, 6))):
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(48, 112), rng.randrange(256)))
        return bytes(data)
    if kind < 0.8:
        return bytes(rng.randrange(48, 112) for _ in range(rng.choice((1, 3, 20, 400))))
    return torn(rng, code)


def _read_rle(code: bytes) -> object:
    from fiftyone_ssa.masks.rle import decode, mask_set

    masks = mask_set(HW, [code])
    assert int(decode(masks.rles[0], HW).sum()) == masks.areas_px[0]
    return masks


def _polygons(rng: random.Random) -> Any:
    rings: Any = [_ring(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
    if rng.random() < 0.1:
        rings = rings[0]
    if rng.random() < 0.3:
        scale = rng.choice((2, 10, 1e3, 1e6, 1e12, 1e300, -1e5))
        rings = [[value * scale for value in ring] for ring in rings if isinstance(ring, list)]
    return bent(rng, rings, rng.choice((0, 0, 1, 1, 2)))


def _read_polygons(rings: Any) -> object:
    from fiftyone_ssa.masks.foreign import mask_counts
    from fiftyone_ssa.masks.rle import mask_set

    return mask_set(HW, [mask_counts(rings, HW)])


# ---- pictures -------------------------------------------------------------------------------------------------------

PICTURES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "jpg": [("RGB", {}), ("L", {"quality": 30}), ("CMYK", {}), ("RGB", {"progressive": True})],
    "png": [("RGB", {}), ("L", {}), ("LA", {}), ("RGBA", {}), ("P", {}), ("1", {}), ("I;16", {})],
    "webp": [("RGB", {"lossless": True}), ("RGB", {"quality": 20}), ("RGBA", {"quality": 50})],
    "tif": [
        *(("RGB", {"compression": name}) for name in ("raw", "tiff_lzw", "jpeg", "tiff_deflate", "packbits")),
        *((mode, {}) for mode in ("L", "RGBA", "P", "1", "I;16", "CMYK", "I", "F", "LAB")),
        ("1", {"compression": "group4"}),
    ],
    "bmp": [("RGB", {}), ("L", {}), ("P", {}), ("1", {})],
    "ppm": [("RGB", {}), ("L", {}), ("1", {}), ("I;16", {})],
    "gif": [("P", {}), ("L", {}), ("P", {"save_all": True})],
    "jp2": [("RGB", {}), ("L", {}), ("I;16", {}), ("RGBA", {})],
    "avif": [("RGB", {"quality": 60, "speed": 10}), ("RGBA", {"quality": 60, "speed": 10})],
}


@functools.cache
def _pictures(suffix: str) -> list[bytes]:
    """Small valid pictures of a format, turned ones among them."""
    values = np.random.default_rng(1).integers(0, 256, (*HW, 3), np.uint8)
    values[3:9, 4:12] = (200, 30, 30)
    contents = []
    for mode, options in PICTURES[suffix]:
        gray = values[..., 0].astype(np.uint16) * 257
        picture = PIL.Image.fromarray(gray) if mode == "I;16" else PIL.Image.fromarray(values).convert(_rgb_first(mode))
        exif = PIL.Image.Exif()
        exif[0x0112] = 6
        exif[0x010E] = "what it shows"
        for more in ({}, {"exif": exif}) if suffix in ("jpg", "png", "webp", "tif", "avif") else ({},):
            buffer = io.BytesIO()
            more = {**more, **({"append_images": [picture]} if options.get("save_all") else {})}
            picture.save(buffer, PIL.Image.registered_extensions()[f".{suffix}"], **options, **more)
            contents.append(buffer.getvalue())
    return contents


def _rgb_first(mode: str) -> str:
    return "RGB" if mode == "LAB" else mode


def _picture(suffix: str, rng: random.Random) -> bytes:
    content = rng.choice(_pictures(suffix))
    return torn(rng, content) if rng.random() < 0.9 else content


def _read_picture(suffix: str, content: bytes) -> object:
    from fiftyone_ssa.errors import InputError
    from fiftyone_ssa.files.images import image_size_hw, read_image, read_mask

    path = _written(f"picture.{suffix}", content)
    for read in (image_size_hw, read_mask):
        with contextlib.suppress(InputError):
            read(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (*image_size_hw(path), 3)
    return image


def _class_map(rng: random.Random) -> bytes:
    values = np.random.default_rng(2).integers(0, 20, HW, np.uint8)
    buffer = io.BytesIO()
    kind = rng.random()
    if kind < 0.3:
        picture = PIL.Image.fromarray(values.astype(np.uint16) * 100)
    elif kind < 0.6:
        picture = PIL.Image.fromarray(values, "L").convert("P")
    else:
        picture = PIL.Image.fromarray(values)
    picture.save(buffer, "PNG")
    return torn(rng, buffer.getvalue()) if rng.random() < 0.9 else buffer.getvalue()


def _read_class_map(content: bytes) -> object:
    from fiftyone_ssa.errors import InputError
    from fiftyone_ssa.files.class_maps import read_colours, read_values

    path = _written("map.png", content)
    with contextlib.suppress(InputError):
        read_colours(path)
    return read_values(path)


# ---- FiftyOne's documents -------------------------------------------------------------------------------------------


def _stored_array(rng: random.Random, array: Any) -> Any:
    """An array as the database holds it, now and then with a torn header, torn bytes, or something else."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=array.dtype == object)
    kind = rng.random()
    content = buffer.getvalue()
    if kind < 0.15:
        content = torn(rng, content[:128]) + content[128:]
    packed = zlib.compress(content)
    if kind > 0.9:
        return torn(rng, packed)
    return odd_value(rng) if kind > 0.85 else packed


def _detections(rng: random.Random) -> dict[str, Any]:
    shapes: list[Any] = [(4, 5), (4, 5), (4, 5), (4, 5, 4), (4, 5, 2), (1, 1), (40, 50), (0, 3), (5,), (4, 5, 1)]
    found = []
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        dtype = rng.choice((bool, np.uint8, np.float32, np.int64, np.float64, np.complex64, "U3", object))
        array = np.random.default_rng(rng.randrange(99)).integers(0, 2, rng.choice(shapes)).astype(dtype)
        detection: dict[str, Any] = {
            "_id": "6566",
            "_cls": "Detection",
            "label": "x",
            "bounding_box": [rng.uniform(-0.2, 0.9), rng.uniform(-0.2, 0.9), 5 / HW[1], 4 / HW[0]],
            "predicted_iou": 0.9,
            "point": [1.0, 2.0],
            "source_box": [1, 2, 3, 4],
            "sa1b_id": 5,
        }
        detection = bent(rng, detection, rng.choice((0, 0, 1, 1, 3)))
        if isinstance(detection, dict):
            detection["mask"] = _stored_array(rng, array)
        found.append(detection)
    document = {"_cls": "Detections", "detections": found}
    return document if rng.random() < 0.9 else {**document, "detections": odd_value(rng)}


def _read_detections(document: Any) -> object:
    from fiftyone_ssa.labels.stored_masks import mask_set_from_detections

    return mask_set_from_detections(document, HW)


# ---- settings and results -------------------------------------------------------------------------------------------

PRESET = """pipeline = "ssa"
[masks]
source = "sam"
model = "facebook/sam-vit-huge"
points_per_side = 32
pred_iou_thresh = 0.88
[semantic]
model = "nvidia/segformer-b0-finetuned-ade-512-512"
vote = "hard"
"""


def _preset(rng: random.Random) -> tuple[bytes, dict[str, Any]]:
    lines = PRESET.splitlines()
    for _ in range(rng.choice((0, 1, 1, 2))):
        at = rng.randrange(len(lines))
        key, _, _ = lines[at].partition(" = ")
        value = rng.choice(
            ("7", "-1", "nan", "inf", "1e400", "9" * 5000, "[" * 900, "true", '"x"', "[]", "{a = 1}", "''")
        )
        lines[at] = rng.choice((f"{key} = {value}", lines[at] * 2, f"{key}.{key} = 1", f"[[{key}]]", "", "\0"))
    content = "\n".join(lines).encode()
    keys = ("masks.points_per_side", "masks", "semantic.vote", "semantic.model", "semantic", "pipeline", "a.b", "", ".")
    overrides = {rng.choice(keys): odd_value(rng) for _ in range(rng.choice((0, 0, 1, 2)))}
    return (torn(rng, content) if rng.random() < 0.4 else content), overrides


def _read_preset(made: tuple[bytes, dict[str, Any]]) -> object:
    from fiftyone_ssa.naming.stamp import settings_stamp
    from fiftyone_ssa.presets import load_preset, parse_override

    content, overrides = made
    text = content.decode("latin-1")[:60]
    key, value = parse_override(f"semantic.vote={text}")
    assert key == "semantic.vote"
    json.dumps(value, default=str)
    return settings_stamp(load_preset(_written("own.toml", content), overrides)).fingerprint


def _result(rng: random.Random) -> bytes:
    codes = _codes()
    record = {
        "annotations": [],
        "classes": ["wall", "building", "sky"],
        "semantic_mask": {
            "0": {"size": list(HW), "counts": codes[1]},
            rng.choice(("1", "2", "300")): {"size": list(HW), "counts": codes[0]},
        },
    }
    return as_json(rng, bent(rng, record, rng.choice((0, 0, 1, 1, 2))))


def _read_result(content: bytes) -> object:
    from fiftyone_ssa.folders.evaluate import evaluate_files

    results, truths = PLACE / "results", PLACE / "truths"
    if not truths.exists():
        results.mkdir()
        truths.mkdir()
        PIL.Image.fromarray(np.ones(HW, np.uint8)).save(truths / "a.png")
    (results / "a_semantic.json").write_bytes(content)
    scores = evaluate_files(results, truths, "ade20k", progress=False)
    for error in scores.errors.values():
        assert "\n" not in error, error
    return scores.mean_iou


def _vocabulary(rng: random.Random) -> bytes:
    words = "\n".join(rng.choice(("cat", "a dog", "# not a word", "", "  sky ", "ü", "x" * 400)) for _ in range(8))
    content = words.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")))
    return torn(rng, content) if rng.random() < 0.6 else content


def _read_vocabulary(content: bytes) -> object:
    from fiftyone_ssa.naming.vocabulary import read_vocabulary

    words = read_vocabulary(_written("words.txt", content))
    assert all(isinstance(word, str) and word.strip() for word in words)
    return words


def _classes(rng: random.Random) -> tuple[str, bytes]:
    record: Any = rng.choice((["wall", "sky"], {"1": "wall", "2": "sky"}, {"#ff0000": "wall", "#00ff00": "sky"}))
    if rng.random() < 0.7:
        return "classes.json", as_json(rng, bent(rng, record, rng.choice((0, 1, 1, 2))))
    return "classes.txt", torn(rng, b"wall\nsky\n\ntree\n")


def _read_classes(made: tuple[str, bytes]) -> object:
    from fiftyone_ssa.folders.own_classes import own_classes

    return own_classes(_written(*made))


def _marker(rng: random.Random) -> bytes:
    record = {
        "preset": "mini-ssa",
        "fingerprint": "0123456789abcdef",
        "settings": {"masks.source": "existing", "masks.points_per_side": 32, "open_vocabulary.segmenters": ["a"]},
        "named": {"masks.source": "existing", "open_vocabulary.segmenters": ["models/a"]},
        "overwriting": False,
        "since_ns": 0,
        "done": "AQAAAAIAAAA=",
    }
    return as_json(rng, bent(rng, record, rng.choice((0, 1, 1, 2))))


def _read_marker(content: bytes) -> object:
    from fiftyone_ssa.folders.record import MARKER, read_record
    from fiftyone_ssa.naming.stamp import Settings

    _written(MARKER, content)
    values = {"masks.source": "existing", "masks.points_per_side": 64, "open_vocabulary.segmenters": ["missing"]}
    found = read_record(PLACE, Settings(values, known=False), {"open_vocabulary.segmenters": ["models/a"]})
    assert found is not None
    return found.record.was_done("a"), found.differs


def _result_head(rng: random.Random) -> bytes:
    values = {"settings": "0123456789abcdef", "image": "1-2", "masks": "3-4"}
    return as_json(rng, bent(rng, {"fiftyone_ssa": values, "annotations": []}, rng.choice((0, 1, 2))))


def _read_result_head(content: bytes) -> object:
    from fiftyone_ssa.errors import InputError
    from fiftyone_ssa.folders import stamps

    found = stamps.read(_written("a_semantic.json", content))
    assert found is not None
    if found.values is None:
        raise InputError("it is damaged, or not ours")
    return found.values


def _export_marker(rng: random.Random) -> bytes:
    record = {"kind": "COCO export", "finished": True, "about": {"a": 1}, "files": {"labels.json": ["9 bytes 1"]}}
    return as_json(rng, bent(rng, record, rng.choice((0, 1, 1, 2))))


def _read_export_marker(content: bytes) -> object:
    from fiftyone_ssa.exports.folder import MARKER, read_record

    folder = PLACE / "export"
    folder.mkdir(exist_ok=True)
    (folder / MARKER).write_bytes(content)
    return read_record(folder, "COCO export")


def _categories(rng: random.Random) -> bytes:
    record: Any = rng.choice(
        (
            {"wall": 1, "sky": 2},
            ["wall", "sky"],
            {"categories": [{"id": 1, "name": "wall"}, {"id": 2, "name": "sky", "supercategory": "stuff"}]},
        )
    )
    return as_json(rng, bent(rng, record, rng.choice((0, 1, 1, 2))))


def _read_categories(content: bytes) -> object:
    from fiftyone_ssa.exports.categories import read_categories

    return read_categories(_written("categories.json", content))


FORMATS: dict[str, Fuzz] = {
    "mask-json": Fuzz(_mask_file, _read_mask_file),
    "rle": Fuzz(_rle, _read_rle),
    "polygons": Fuzz(_polygons, _read_polygons),
    **{
        f"picture-{suffix}": Fuzz(functools.partial(_picture, suffix), functools.partial(_read_picture, suffix))
        for suffix in PICTURES
    },
    "class-map": Fuzz(_class_map, _read_class_map),
    "detections": Fuzz(_detections, _read_detections),
    "preset": Fuzz(_preset, _read_preset),
    "result-json": Fuzz(_result, _read_result),
    "vocabulary": Fuzz(_vocabulary, _read_vocabulary),
    "classes": Fuzz(_classes, _read_classes),
    "marker": Fuzz(_marker, _read_marker),
    "result-head": Fuzz(_result_head, _read_result_head),
    "export-marker": Fuzz(_export_marker, _read_export_marker),
    "categories": Fuzz(_categories, _read_categories),
}
