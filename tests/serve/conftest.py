"""A service with the small models, asked over HTTP as clients ask it."""
# ruff: noqa: E402 - what is missing skips these tests first

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import PIL.Image
import pytest

for needed in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx"):
    pytest.importorskip(needed, reason=f"needs {needed} (pip install 'fiftyone-ssa[serve]' httpx)")

import httpx
import uvicorn

from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.serve.pipelines import Pipelines
from fiftyone_ssa.serve.server import bound, configuration
from fiftyone_ssa.serve.settings import ServeSettings

QUICK = {"masks.points_per_side": 4, "masks.crop_n_layers": 0}
"""Few masks: what is asked here is the service."""


def jpeg(seed: int = 0, size: tuple[int, int] = (160, 120)) -> bytes:
    """A drawn scene, small."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(draw_scene(seed, (256, 256)).image).resize(size).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """Six small scenes as JPEG."""
    return [jpeg(seed) for seed in range(6)]


@pytest.fixture(scope="session")
def ssa() -> Pipelines:
    """The closed-set pipeline of the small models."""
    preset = load_preset("mini-ssa", QUICK)
    return Pipelines(build_pipeline(preset, device="cpu"), preset)


@pytest.fixture(scope="session")
def engine() -> Pipelines:
    """The open-vocabulary one."""
    preset = load_preset("mini-engine", QUICK)
    return Pipelines(build_pipeline(preset, device="cpu"), preset)


@contextmanager
def running(pipelines: Pipelines, settings: ServeSettings | None = None) -> Iterator[str]:
    """A service on a free port, in a thread of its own; yields its address."""
    settings = settings or ServeSettings(port=0)
    with bound("127.0.0.1", 0) as listener:
        server = uvicorn.Server(configuration(pipelines, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wait_for(lambda: server.started or not thread.is_alive())
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.005)


@pytest.fixture(scope="package")
def address(ssa: Pipelines) -> Iterator[str]:
    """Of a service with the closed-set pipeline and the limits as they are."""
    with running(ssa) as found:
        yield found


@pytest.fixture(scope="package")
def client(address: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=address, timeout=300) as found:
        yield found


def post(client: httpx.Client, picture: bytes, name: str = "photo.jpg", **form: str | list[str]) -> httpx.Response:
    """Ask for one picture's names."""
    return client.post("/label", files={"image": (name, picture)}, data=form)


CONFIG = """<View><Image name="image" value="$photo"/>
  <{tag} name="tag" toName="image"><Label value="Sky"/><Label value="Meadow" alias="grass"/></{tag}></View>"""
"""Of a Label Studio project, with a `{tag}` to fill in."""


def task(picture: bytes) -> dict[str, Any]:
    """One of its tasks, which carries its picture along."""
    return {"id": 1, "data": {"photo": "data:image/jpeg;base64," + base64.b64encode(picture).decode()}}


def predict(client: httpx.Client, tag: str, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """Its predictions."""
    answer = client.post("/predict", json={"tasks": tasks, "label_config": CONFIG.format(tag=tag)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found
