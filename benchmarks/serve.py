"""The service: 200 requests of 20 clients beside the command on the same pictures, and 500 broken uploads.

The service and the command run the same preset as processes of their own; the clients' threads are this process.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import psutil

from fiftyone_ssa.quickstart.scenes import draw_scene

REQUESTS, CLIENTS, BROKEN = 200, 20, 500
PRESETS = tuple(os.environ.get("SSA_SERVE_PRESETS", "mini-ssa").split())
HUNDRED_MB = 100_000_000


def main() -> None:
    """Print the figures as JSON."""
    pictures = [_jpeg(seed) for seed in range(int(os.environ.get("SSA_SERVE_REQUESTS", REQUESTS)))]
    report: dict[str, Any] = {preset: _load(preset, pictures) for preset in PRESETS}
    report["broken"] = _broken(pictures[0], int(os.environ.get("SSA_SERVE_BROKEN", BROKEN)))
    print(json.dumps(report, indent=2))


def _load(preset: str, pictures: list[bytes]) -> dict[str, Any]:
    """The same pictures through the command and through the service."""
    with tempfile.TemporaryDirectory() as folder:
        command = _command(preset, pictures, Path(folder))
        with _service(preset) as (address, process):
            httpx.post(f"{address}/label", files={"image": pictures[0]}, timeout=600).raise_for_status()  # warm
            before, started = process.cpu_times(), time.perf_counter()
            with ThreadPoolExecutor(CLIENTS) as clients:
                answers = list(clients.map(lambda place: _ask(address, pictures[place]), range(len(pictures))))
            seconds, after = time.perf_counter() - started, process.cpu_times()
            batches = _batches(address)
        same = sum(
            answer["annotations"]
            == json.loads((Path(folder) / "out" / f"{i:03}_semantic.json").read_text())["annotations"]
            for i, (_, answer) in enumerate(answers)
        )
    waits = sorted(wait for wait, _ in answers)
    return {
        "requests": len(pictures),
        "clients": CLIENTS,
        "lost": len(pictures) - sum("annotations" in answer for _, answer in answers),
        "same_as_the_command": same,
        "p50_seconds": round(statistics.median(waits), 3),
        "p95_seconds": round(waits[int(0.95 * len(waits))], 3),
        "pictures_a_second": round(len(pictures) / seconds, 2),
        "cpu_seconds_a_picture": round((after.user + after.system - before.user - before.system) / len(pictures), 3),
        "pictures_a_batch": round(batches, 2),
        "command": command,
    }


def _command(preset: str, pictures: list[bytes], folder: Path) -> dict[str, float]:
    """What `annotate` takes, without loading models: its last line says."""
    for index, picture in enumerate(pictures):
        (folder / f"{index:03}.jpg").write_bytes(picture)
    arguments = ["annotate", str(folder), str(folder / "out"), "--preset", preset]
    children = psutil.Process()
    before = children.cpu_times()
    run = subprocess.run(_cli(*arguments), capture_output=True, text=True, check=True)
    after = children.cpu_times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    rate = re.search(r"\(([\d.]+) images/s\)", run.stdout)
    assert rate, run.stdout
    return {"pictures_a_second": float(rate[1]), "cpu_seconds_a_picture_with_loading": round(spent / len(pictures), 3)}


def _ask(address: str, picture: bytes) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    while True:
        answer = httpx.post(f"{address}/label", files={"image": picture}, timeout=600)
        if answer.status_code != 429:
            return time.perf_counter() - started, answer.json()
        time.sleep(float(answer.headers["retry-after"]))


def _batches(address: str) -> float:
    """Pictures that went through the models together, on average."""
    text = httpx.get(f"{address}/metrics").text
    total, count = (float(re.search(rf"^ssa_batch_pictures_{what} (.*)$", text, re.M)[1]) for what in ("sum", "count"))
    return total / count


def _broken(picture: bytes, count: int) -> dict[str, Any]:
    """Uploads of every kind of damage; each must be a 4xx with a sentence, and the memory stay."""
    with _service("mini-ssa", "--rate", "0") as (address, process):
        kinds = _kinds(picture)
        statuses: Counter[str] = Counter()
        worst, silent, sizes = 0.0, 0, []
        with httpx.Client(base_url=address, timeout=600) as client:
            client.post("/label", files={"image": picture}).raise_for_status()
            at_first = process.memory_info().rss / 1e6
            for number in range(count):
                name, make = kinds[number % len(kinds)]
                started = time.perf_counter()
                answer = client.post("/label", **make(random.Random(number)))
                worst = max(worst, time.perf_counter() - started)
                statuses[f"{name} {answer.status_code}"] += 1
                silent += not (400 <= answer.status_code < 500 and len(answer.json().get("detail", "")) > 20)
                sizes.append(process.memory_info().rss / 1e6)
            still = client.post("/label", files={"image": picture}).status_code
    warm = len(kinds) * 2
    return {
        "uploads": count,
        "not_a_4xx_with_a_sentence": silent,
        "longest_seconds": round(worst, 2),
        "rss_mb_before": round(at_first),
        "rss_mb_after_the_first_of_each_kind": round(sizes[min(warm, count - 1)]),
        "rss_mb_at_most_after": round(max(sizes[warm:], default=0)),
        "rss_mb_at_the_end": round(sizes[-1]),
        "status_of_a_good_one_then": still,
        "answers": dict(sorted(statuses.items())),
    }


Make = Callable[[random.Random], dict[str, Any]]


def _kinds(picture: bytes) -> list[tuple[str, Make]]:
    """What an upload may be, and what httpx sends of it."""
    bomb = _bomb()

    def form(make: Callable[[random.Random], bytes]) -> Make:
        return lambda some: {"files": {"image": ("x.jpg", make(some))}}

    return [
        ("text", form(lambda some: b"text " * some.randrange(1, 2_000))),
        ("noise", form(lambda some: some.randbytes(some.randrange(1, 200_000)))),
        ("pdf", form(lambda some: b"%PDF-1.7\n" + some.randbytes(5_000))),
        ("zip", form(lambda some: b"PK\x03\x04" + some.randbytes(5_000))),
        ("truncated", form(lambda some: picture[: some.randrange(1, len(picture) - 200)])),
        ("bent", form(lambda some: picture[:20] + some.randbytes(len(picture) // 2))),
        ("bomb", form(lambda some: bomb)),
        (
            "huge header",
            form(lambda some: _png_header(some.randrange(20_000, 1 << 31), some.randrange(20_000, 1 << 31))),
        ),
        ("empty", form(lambda some: b"")),
        ("no form", lambda some: {"content": some.randbytes(100), "headers": {"content-type": "multipart/form-data"}}),
        ("json", lambda some: {"json": {"image": "x"}}),
        (
            "masks",
            lambda some: {"files": {"image": ("x.jpg", picture)}, "data": {"masks": "[" * some.randrange(9, 9_999)}},
        ),
        ("100 MB", lambda some: {"content": bytes(HUNDRED_MB), "headers": {"content-type": "image/jpeg"}}),
        ("100 MB, size unsaid", lambda some: {"content": _chunks(), "headers": {"content-type": "image/jpeg"}}),
    ]


def _chunks() -> Iterator[bytes]:
    for _ in range(100):
        yield bytes(HUNDRED_MB // 100)


def _bomb() -> bytes:
    """900 million pixels in 110 KB."""
    buffer = io.BytesIO()
    PIL.Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(40)


def _jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(draw_scene(seed).image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _cli(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fiftyone_ssa.cli", *arguments]


@contextmanager
def _service(preset: str, *more: str) -> Iterator[tuple[str, psutil.Process]]:
    """A service of its own; its address once it answers, and its process."""
    command = _cli("serve", "--preset", preset, "--port", "0", *more)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found, "the service did not start"
            _wait(found[0])
            yield found[0], psutil.Process(process.pid)
        finally:
            process.terminate()


def _wait(address: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            httpx.get(f"{address}/healthz").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the service does not answer")


if __name__ == "__main__":
    main()
