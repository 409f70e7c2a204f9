"""The paths of Label Studio's ML-backend protocol, beside those of our own."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.serve.label_studio import Config, failed, prediction, read_config, task_picture
from fiftyone_ssa.serve.labeller import Kind
from fiftyone_ssa.serve.pipelines import names_of
from fiftyone_ssa.serve.task_pictures import read_task_picture
from fiftyone_ssa.serve.uploads import Upload, UploadError, check_picture

if TYPE_CHECKING:
    from fiftyone_ssa.serve.app import Service

MOST_TASKS = 64
"""Of one request."""
PROJECTS_KEPT = 100


class _Backend:
    """Labels tasks; knows the configurations that projects were set up with."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._configs: OrderedDict[str, Config] = OrderedDict()
        self._at_once = asyncio.Semaphore(service.settings.batch_size)

    def set_up(self, project: str, text: Any) -> None:
        """Remember a project's configuration. Raises UploadError if it is none that we can fill."""
        try:
            self._configs[project] = read_config(text)
        except InputError as error:
            raise UploadError(422, str(error)) from error
        self._configs.move_to_end(project)
        while len(self._configs) > PROJECTS_KEPT:
            self._configs.popitem(last=False)

    def config(self, content: dict[str, Any]) -> Config:
        """Of a request: as it says, or as its project was set up."""
        project = str(content.get("project", ""))
        if content.get("label_config"):
            self.set_up(project, content["label_config"])
        if project not in self._configs:
            raise UploadError(422, "there is no label_config, and /setup was not asked for this project before")
        return self._configs[project]

    async def predict(self, task: Any, config: Config) -> dict[str, Any]:
        """One task's prediction; what is wrong with its picture costs this task only."""
        service = self.service
        limits = service.settings.limits
        async with self._at_once:
            try:
                address = task_picture(task, config.key)
                source = service.settings.label_studio
                picture = await run_in_threadpool(read_task_picture, address, source, limits.upload_bytes)
                await run_in_threadpool(check_picture, picture, limits)
                names = names_of(config.names, limits.names) if service.pipelines.takes_names else ()
                annotation = await service.label(Upload(picture, limits, kind=Kind(vocabulary=names)))
            except InputError as error:
                return failed(str(error), service.version)
            except HTTPException as error:  # our own failure with this picture
                return failed(str(error.detail), service.version)
        return await run_in_threadpool(prediction, annotation, config, service.version)


def add_label_studio(app: FastAPI, service: Service) -> None:
    """Let an application answer Label Studio: its project's Settings > Model take the service's address."""
    backend = _Backend(service)

    @app.get("/health", tags=["Label Studio"])
    async def health() -> dict[str, str]:
        """Whether the backend is there."""
        return {"status": "UP", "model_class": service.version}

    @app.post("/setup", tags=["Label Studio"])
    async def setup(content: dict[str, Any] = Body()) -> dict[str, str]:  # noqa: B008 - FastAPI's way
        """A project begins to use us: `{"project": ..., "schema": its labelling configuration}`."""
        backend.set_up(str(content.get("project", "")), content.get("schema"))
        return {"model_version": service.version}

    @app.post("/predict", tags=["Label Studio"])
    async def predict(content: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        """Regions for tasks: `{"tasks": [{"data": {"image": ...}}], "label_config": ...}`."""
        tasks = content.get("tasks")
        if not isinstance(tasks, list) or not 0 < len(tasks) <= MOST_TASKS:
            raise UploadError(422, f"tasks must be a list of 1 to {MOST_TASKS} tasks, got {shown(tasks)}")
        config = backend.config(content)
        with service.labeller.place():
            results = await asyncio.gather(*(backend.predict(task, config) for task in tasks))
        return {"results": results, "model_version": service.version}

    @app.get("/versions", tags=["Label Studio"])
    async def versions() -> dict[str, list[str]]:
        """The versions that predictions are of: one, the preset."""
        return {"versions": [service.version]}

    @app.post("/webhook", tags=["Label Studio"])
    @app.post("/train", include_in_schema=False)
    async def webhook() -> JSONResponse:
        """Label Studio tells what people did; nothing is trained here."""
        return JSONResponse({"status": "ok", "model_version": service.version})
