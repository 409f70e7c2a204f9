"""The service's paths: pictures in, names out; its page, its health, its numbers, Label Studio's protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import fiftyone_ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.serve import described
from fiftyone_ssa.serve.answers import answer
from fiftyone_ssa.serve.gate import Gate
from fiftyone_ssa.serve.label_studio_api import add_label_studio
from fiftyone_ssa.serve.labeller import ClosedError, FullError, Labeller
from fiftyone_ssa.serve.metrics import Metrics
from fiftyone_ssa.serve.pipelines import Pipelines
from fiftyone_ssa.serve.settings import ServeSettings
from fiftyone_ssa.serve.uploads import Upload, UploadError, read_upload
from fiftyone_ssa.types import Annotation

STATIC = Path(__file__).parent / "static"
RETRY_SECONDS = 5


class Service:
    """What all paths share: the models, the thread that uses them, and the counters."""

    def __init__(self, pipelines: Pipelines, settings: ServeSettings) -> None:
        self.pipelines, self.settings, self.metrics = pipelines, settings, Metrics()
        self.labeller = Labeller(
            pipelines,
            batch_size=settings.batch_size,
            most_waiting=settings.limits.waiting,
            on_batch=self.metrics.batch.observe,
        )
        self.metrics.watch(self.labeller)

    @property
    def version(self) -> str:
        """What made the names: the preset and its settings' fingerprint."""
        preset = self.pipelines.preset
        return f"{preset.name}-{preset.fingerprint}"

    async def label(self, upload: Upload) -> Annotation:
        """One picture's annotation. Raises UploadError for what is wrong with it, HTTPException for what is with us."""
        self.pipelines.check(upload.kind)
        result = await asyncio.wrap_future(self.labeller.submit(upload.read, upload.kind))
        self.metrics.pictures.labels("failed" if result.annotation is None else "done").inc()
        if result.annotation is None:
            error = result.error or "unknown error"
            wrong = error.removeprefix(f"{UploadError.__name__}: ")
            raise UploadError(422, wrong) if wrong != error else HTTPException(500, f"labelling failed: {error}")
        self.metrics.masks.inc(len(result.annotation.masks))
        return result.annotation


def create_app(pipelines: Pipelines, settings: ServeSettings) -> FastAPI:
    """The service as an ASGI application, whose labelling thread ends with it. `serve.server.serve` runs it."""
    service = Service(pipelines, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.labeller.close)

    app = FastAPI(
        title="Names for masks",
        version=fiftyone_ssa.__version__,
        summary=f"Semantic Segment Anything with the preset {pipelines.preset.name}.",
        docs_url=None,  # FastAPI's pages load their script from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    _add_errors(app)
    _add_pages(app, service)
    _add_labelling(app, service)
    add_label_studio(app, service)
    app.add_middleware(Gate, settings=settings, answered=service.metrics.answered)
    return app


def _add_labelling(app: FastAPI, service: Service) -> None:
    @app.post("/label", openapi_extra={"requestBody": described.BODY}, responses=described.ANSWERS, tags=["label"])
    async def label(request: Request) -> Response:
        """Name every mask of a picture: of those it comes with, or of those that the preset's model makes."""
        with service.labeller.place():
            upload = await read_upload(request, service.settings.limits)
            annotation = await service.label(upload)
            content = await run_in_threadpool(_json_of, annotation, upload)
        return Response(content, media_type="application/json")


def _json_of(annotation: Annotation, upload: Upload) -> bytes:
    return json.dumps(answer(annotation, upload.picture.name, upload.form), allow_nan=False).encode()


def _add_pages(app: FastAPI, service: Service) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    @app.get("/info", tags=["service"])
    async def info() -> dict[str, Any]:
        """What this service can be asked for."""
        pipelines, limits = service.pipelines, service.settings.limits
        return {
            "preset": pipelines.preset.name,
            "pipeline": pipelines.preset.pipeline,
            "model_version": service.version,
            "makes_masks": pipelines.makes_masks,
            "takes_masks": pipelines.takes_masks,
            "takes_vocabulary": pipelines.takes_names,
            "limits": {"upload_bytes": limits.upload_bytes, "pixels": limits.pixels, "masks": limits.masks},
        }

    @app.get("/healthz", tags=["service"], responses={503: described.SENTENCE})
    async def healthz() -> JSONResponse:
        """Whether pictures can be labelled; 503 when the device is lost."""
        failure = service.labeller.failure
        return JSONResponse(
            {"status": failure or "ok", "preset": service.pipelines.preset.name}, 503 if failure else 200
        )

    @app.get("/metrics", tags=["service"], response_class=Response)
    async def metrics() -> Response:
        """Requests, times, pictures, batches and what waits, for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    """Every error is `{"detail": one sentence}`."""

    def say(status: int, sentence: str, **headers: str) -> JSONResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return JSONResponse({"detail": sentence}, status, headers=names)

    @app.exception_handler(UploadError)
    async def upload(_: Request, error: UploadError) -> JSONResponse:
        return say(error.status, str(error))

    @app.exception_handler(InputError)
    async def refused(_: Request, error: InputError) -> JSONResponse:
        return say(422, str(error))

    @app.exception_handler(FullError)
    async def full(_: Request, error: FullError) -> JSONResponse:
        return say(429, "too many requests wait already; try again in a moment", retry_after=str(RETRY_SECONDS))

    @app.exception_handler(ClosedError)
    async def closed(_: Request, error: ClosedError) -> JSONResponse:
        return say(503, f"nothing more can be labelled: {error}")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        words = {
            404: "there is nothing here; /docs lists what there is",
            405: "this path takes another method; see /docs",
        }
        return say(error.status_code, words.get(error.status_code, str(error.detail)), **(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
        return say(422, f"{where}: {str(first['msg'])[:300]}; /docs says what is expected")

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> JSONResponse:
        return say(400, "the request ended before it was whole")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return say(500, f"unexpected {type(error).__name__}; the service's log has more")
