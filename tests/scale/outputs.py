"""A small output folder: two tars of drawn images, one folder, and the rows that a run on them would have written."""

import io
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.masks import rle
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.rows import FAILED, IMAGES, mask_schema
from fiftyone_ssa.scale.store import Store

SIZE_HW = (48, 64)
NAMES = ("sky", "car", "traffic light", None)
EMBEDDING = 4


def pixels(seed):
    """One image, (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 255, (*SIZE_HW, 3), np.uint8)


def ellipse(seed):
    """One mask, (H, W) bool, never empty."""
    rng = np.random.default_rng(seed)
    (y, x), (a, b) = rng.uniform(10, 40, 2), rng.uniform(3, 12, 2)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1


def mask_row(shard, member, mask_id, seed, **values):
    """One row of `masks`."""
    mask = ellipse(seed)
    code = rle.encode(mask)
    found = rle.mask_set(SIZE_HW, [code])
    x, y, w, h = map(float, found.boxes_xywh[0])
    rng = np.random.default_rng(seed)
    name = NAMES[seed % len(NAMES)]
    return {
        "image_id": f"{shard}/{member}",
        "shard": shard,
        "member": member,
        "mask_id": mask_id,
        "height": SIZE_HW[0],
        "width": SIZE_HW[1],
        **{"x": x, "y": y, "w": w, "h": h, "area": int(found.areas_px[0]), "rle": code},
        "label": name,
        "proposals": [name, "thing"] if name else [],
        "proposal_scores": [0.75, 0.25] if name else [],
        "confidence": round(float(rng.uniform()), 3),
        "margin": round(float(rng.uniform()), 3) if name else None,
        "source": "coco" if seed % 2 else "caption",
        "caption": f"a picture of {name}",
        "level": "whole",
        "parent": None,
        "preset": "mini-ssa",
        "revisions": "r1",
        "embedding": rng.normal(size=EMBEDDING).astype(np.float16),
        **values,
    }


def write_shard(out, shard, source, images, masks, failed=(), part=None):
    """One finished shard: its files, then its line in the manifest."""
    part = part or f"part-{shard}.parquet"
    tables = {"masks": (masks, mask_schema(EMBEDDING)), "images": (images, IMAGES), "failed": (failed, FAILED)}
    for kind, (rows, schema) in tables.items():
        (out / kind).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(rows), schema), out / kind / part, compression="zstd")
    counts = {"images": len(images), "masks": len(masks), "failed": len(failed)}
    entry = Entry(shard, part, **counts, seconds=1.0, preset="p", revisions="r1", source=str(source), stamp="s")
    with (out / "manifest.jsonl").open("a") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def tar_shard(folder, out, shard, count, masks=3, seed=0):
    """A tar of `count` images, and its finished shard; answers the rows of its masks."""
    source = Path(folder) / f"{shard}.tar"
    source.parent.mkdir(parents=True, exist_ok=True)
    images, rows = [], []
    with tarfile.open(source, "w") as tar:
        for index in range(count):
            member = f"sa_{index}.png"
            picture = io.BytesIO()
            PIL.Image.fromarray(pixels(seed + index)).save(picture, "PNG")
            about = tarfile.TarInfo(member)
            about.size = picture.tell()
            picture.seek(0)
            tar.addfile(about, picture)
            rows += [mask_row(shard, member, 100 + i, seed + 10 * index + i) for i in range(masks)]
    with tarfile.open(source) as tar:
        for about in tar:
            place = {"offset": about.offset_data, "size": about.size}
            size = {"height": SIZE_HW[0], "width": SIZE_HW[1], "masks": masks, "status": "done"}
            head = {"image_id": f"{shard}/{about.name}", "shard": shard, "member": about.name}
            images.append({**head, **place, **size})
    lost = {"image_id": f"{shard}/broken.png", "shard": shard, "member": "broken.png", "reason": "truncated"}
    write_shard(out, shard, source, images, rows, [lost])
    return rows


def make_output(folder):
    """OUT with two finished shards and one that was killed; answers it and the rows of all masks."""
    out = Path(folder) / "OUT"
    rows = [
        row for index, shard in enumerate(("t0", "t1")) for row in tar_shard(folder, out, shard, 4, seed=100 * index)
    ]
    (out / "masks" / "part-t2.parquet").write_bytes(b"half of a part")
    return out, rows


def in_store(out):
    """The same folder in a store: its URL."""
    store = Store(f"memory:/{out.resolve()}")
    for path in out.rglob("*.*"):
        with store.whole(str(path.relative_to(out))) as file:
            file.write(path.read_bytes())
    return store.url
