"""Rows for `benchmarks.query`: an output folder of any size, the same masks as JSON files, and a tar of images."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.masks import rle
from fiftyone_ssa.scale.rows import FAILED, IMAGES, MASKS

SIZE_HW = (1500, 2250)
A_SHARD = 1000
"""Images."""
CLASSES = ("traffic light", *(f"class {number}" for number in range(199)))
CODES = 65536
"""Different codes, so many that no page of a file holds one twice."""
REPEATED = ["label", "shard", "image_id", "member", "source", "preset", "revisions"]
"""Columns whose values are worth a dictionary."""


def write(out: Path, results: Path, images: int, masks: int) -> None:
    """Shards of `A_SHARD` images as Parquet in `out`, and as JSON files, a folder a shard, in `results`."""
    codes = _codes()
    texts = [code.decode() for code in codes[0]]
    for number in range(0, images, A_SHARD):
        count = min(A_SHARD, images - number)
        table, rows = _shard(number // A_SHARD, count, masks, codes)
        _commit(out, f"s{number // A_SHARD:05d}", table, _images(table, count, masks))
        folder = results / f"s{number // A_SHARD:05d}"
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index}.json").write_text(_json(rows, texts, slice(index * masks, (index + 1) * masks)))


def write_tar(out: Path, path: Path, images: int, masks: int) -> None:
    """One shard whose tar is there: every image the same JPEG."""
    picture = io.BytesIO()
    PIL.Image.effect_noise((SIZE_HW[1] // 10, SIZE_HW[0] // 10), 60).resize(SIZE_HW[::-1]).convert("RGB").save(
        picture, "JPEG", quality=40
    )
    places = []
    table, _ = _shard(0, images, masks, _codes())
    with tarfile.open(path, "w") as tar:
        for index in range(images):
            about = tarfile.TarInfo(f"{index:05d}.jpg")
            about.size = picture.tell()
            places.append((tar.offset + tarfile.BLOCKSIZE, about.size))
            tar.addfile(about, io.BytesIO(picture.getvalue()))
    shard = _images(table, images, masks)
    for column, values in zip(("offset", "size"), zip(*places, strict=True), strict=True):
        place = shard.schema.get_field_index(column)
        shard = shard.set_column(place, IMAGES.field(column), pa.array(values, pa.int64()))
    _commit(out, "s00000", table, shard, source=path)


def corrections(count: int) -> list[dict[str, Any]]:
    """Masks of the first shard that a person calls traffic lights."""
    shared = {"shard": "s00000", "height": SIZE_HW[0], "width": SIZE_HW[1], "label": CLASSES[0], "review": "corrected"}
    ids = [(f"{index:05d}.jpg", f"s00000/{index:05d}.jpg") for index in range(count)]
    return [{**shared, "member": member, "image_id": image, "mask_id": 0, "dataset": "made"} for member, image in ids]


def _codes() -> tuple[list[bytes], Any, Any]:
    """Codes of ellipses whose outline is ragged, with their boxes and areas."""
    rng, codes = np.random.default_rng(0), []
    for _ in range(CODES):
        a, b = (float(side) for side in np.exp(rng.uniform(2, 4.5, 2)))
        x, y = int(rng.integers(0, SIZE_HW[1] - 2 * b)), int(rng.integers(100, SIZE_HW[0] - 100))
        half = np.maximum(
            a * np.sqrt(1 - np.linspace(-0.99, 0.99, int(2 * b)) ** 2) + rng.uniform(-1.5, 1.5, int(2 * b)), 1
        )
        tops = (x + np.arange(len(half))) * SIZE_HW[0] + y
        codes.append(
            rle.counts_from_intervals(tops - half.astype(int), tops + half.astype(int), SIZE_HW[0] * SIZE_HW[1])
        )
    found = rle.mask_set(SIZE_HW, codes)
    return codes, found.boxes_xywh, found.areas_px


def _shard(number: int, images: int, masks: int, codes: Any) -> tuple[pa.Table, dict[str, Any]]:
    rng, count = np.random.default_rng(number), images * masks
    pool, boxes, areas = codes
    of = rng.integers(0, CODES, count)
    shard = f"s{number:05d}"
    members = np.repeat([f"{index:05d}.jpg" for index in range(images)], masks)
    names = rng.integers(0, len(CLASSES), count)
    scores = rng.uniform(0, 1, (count, 2)).astype(np.float32)
    label = pa.DictionaryArray.from_arrays(pa.array(names, pa.int32()), pa.array(CLASSES)).cast(pa.string())
    lists = np.arange(count + 1, dtype=np.int32)
    nothing = pa.nulls(count)
    columns: dict[str, Any] = {
        "image_id": [f"{shard}/{member}" for member in members],
        "shard": [shard] * count,
        "member": members,
        "mask_id": np.tile(np.arange(masks), images),
        "height": np.full(count, SIZE_HW[0]),
        "width": np.full(count, SIZE_HW[1]),
        **{name: boxes[of, place].astype(np.float32) for place, name in enumerate("xywh")},
        "area": areas[of],
        "rle": [pool[place] for place in of],
        "label": label,
        "proposals": pa.ListArray.from_arrays(lists, label),
        "proposal_scores": pa.ListArray.from_arrays(lists, pa.array(scores[:, 0])),
        "confidence": scores[:, 0],
        "margin": scores[:, 1],
        "source": np.array(("coco", "caption", "vocabulary"))[of % 3],
        "preset": ["made"] * count,
        "revisions": ["made"] * count,
    }
    arrays = [
        pa.array(columns[each.name], each.type) if each.name in columns else nothing.cast(each.type) for each in MASKS
    ]
    rows = {"of": of, "names": names, "scores": scores, "boxes": boxes, "areas": areas}
    return pa.Table.from_arrays(arrays, schema=MASKS), rows


def _images(table: pa.Table, images: int, masks: int) -> pa.Table:
    first = table.select(["image_id", "shard", "member", "height", "width"]).take(list(range(0, images * masks, masks)))
    columns = {name: first[name] for name in first.column_names}
    columns |= {"masks": pa.array([masks] * images, pa.int32()), "status": pa.array(["done"] * images)}
    columns |= {name: pa.nulls(images, pa.int64()) for name in ("offset", "size")}
    return pa.table([columns[name] for name in IMAGES.names], schema=IMAGES)


def _commit(out: Path, shard: str, masks: pa.Table, images: pa.Table, source: Path | None = None) -> None:
    for kind, table in (("masks", masks), ("images", images), ("failed", FAILED.empty_table())):
        (out / kind).mkdir(parents=True, exist_ok=True)
        about = {"compression": "zstd", "row_group_size": 65536, "use_dictionary": REPEATED}
        pq.write_table(table, out / kind / f"part-{shard}.parquet", **about)
    with (out / "manifest.jsonl").open("a") as file:
        about = {"images": len(images), "masks": len(masks), "failed": 0, "seconds": 0.0, "preset": "made"}
        where = {"part": f"part-{shard}.parquet", "source": str(source or shard), "revisions": "made", "stamp": ""}
        file.write(json.dumps({"shard": shard, **about, **where}) + "\n")


def _json(rows: dict[str, Any], texts: list[str], chosen: slice) -> str:
    """One image's masks as the published code writes them."""
    return f'{{"annotations": [{", ".join(_annotations(rows, texts, chosen))}]}}'


def _annotations(rows: dict[str, Any], texts: list[str], chosen: slice) -> Iterator[str]:
    found = zip(*(rows[name][chosen].tolist() for name in ("of", "names", "scores")), strict=True)
    for index, (of, name, (confidence, margin)) in enumerate(found):
        counts = texts[of].replace("\\", "\\\\")
        box = rows["boxes"][of].tolist()
        yield (
            f'{{"id": {index}, "area": {rows["areas"][of]}, "bbox": {box}, "class_name": "{CLASSES[name]}", '
            f'"class_proposals": ["{CLASSES[name]}"], "confidence": {confidence:.6f}, "margin": {margin:.6f}, '
            f'"segmentation": {{"size": [1500, 2250], "counts": "{counts}"}}}}'
        )
