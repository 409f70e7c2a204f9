"""One request's picture, masks and wishes, checked as far as that costs nothing: before anything is decoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import PIL
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request

from fiftyone_ssa.errors import InputError, TooLargeError, shown
from fiftyone_ssa.files.images import FORMATS, PictureBytes, image_header, read_image
from fiftyone_ssa.files.json_file import parse_json
from fiftyone_ssa.folders.sa1b_json import masks_of
from fiftyone_ssa.serve.answers import FORMATS as ANSWERS
from fiftyone_ssa.serve.answers import Format
from fiftyone_ssa.serve.labeller import Kind
from fiftyone_ssa.serve.pipelines import names_of
from fiftyone_ssa.serve.settings import Limits
from fiftyone_ssa.types import Inputs

EXPECTED = "send a picture as the file `image` of a form, or as the body itself"
_FIELDS = ("image", "masks", "vocabulary", "only", "format")
_NO_PICTURES = ("application/json", "application/x-www-form-urlencoded", "text/plain", "text/html")
"""What says that it is something else; a form of this kind would be taken apart into as many fields as it has bytes."""
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class UploadError(InputError):
    """What was sent cannot be used; `status` is the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """One picture to label. `read` decodes it, in whichever thread is to do that."""

    picture: PictureBytes
    limits: Limits
    masks: bytes | None = field(default=None, repr=False)
    kind: Kind = field(default_factory=Kind)
    form: Format = "ssa"

    def read(self) -> Inputs:
        """The picture and its masks. Raises UploadError if they are damaged or too many."""
        try:
            image = read_image(self.picture, most=self.limits.pixels)
            if self.masks is None:
                return Inputs(image)
            content = parse_json(self.masks, "masks")
            records = content.get("annotations") if isinstance(content, dict) else content
            if not isinstance(records, list):
                raise InputError(f'masks must be {{"annotations": [...]}}, or that list alone, got {shown(content)}')
            if len(records) > self.limits.masks:
                raise InputError(f"there are {len(records):,} masks, at most {self.limits.masks:,} are taken")
            return Inputs(image, masks_of({"annotations": records}, "masks", (image.shape[0], image.shape[1])))
        except InputError as error:
            raise UploadError(422, str(error)) from error


def check_picture(picture: PictureBytes, limits: Limits) -> None:
    """Look at a picture's header. Raises UploadError: 415 for what is none, 413 beyond the limit, 422 for damage."""
    try:
        image_header(picture, most=limits.pixels)
    except InputError as error:
        if isinstance(error.__cause__, PIL.UnidentifiedImageError):
            raise UploadError(415, f"{picture} is not a picture of a known format ({', '.join(FORMATS)})") from error
        raise UploadError(413 if isinstance(error, TooLargeError) else 422, str(error)) from error


async def read_upload(request: Request, limits: Limits) -> Upload:
    """What a request holds: a form, or the picture as the body and everything else in the query.

    Raises UploadError, with the status that it is answered with.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            async with request.form(max_files=2, max_fields=8, max_part_size=limits.upload_bytes) as form:
                return await _of_form(form, request, limits)
        except FormParserError as error:
            raise UploadError(400, f"the form is damaged: {error}; {EXPECTED}") from error
    if kind in _NO_PICTURES:
        raise UploadError(415, f"got {shown(kind)}; {EXPECTED}, with its type (curl -H 'Content-Type: image/jpeg')")
    _check_known(request.query_params, "query")
    data = await request.body()
    if not data:
        raise UploadError(422, f"there is no picture; {EXPECTED}")
    return await run_in_threadpool(_upload, "image", data, None, dict(request.query_params), limits)


async def _of_form(form: FormData, request: Request, limits: Limits) -> Upload:
    _check_known(form, "form")
    _check_known(request.query_params, "query")
    for name in _FIELDS[2:]:
        if isinstance(form.get(name), UploadFile):
            raise UploadError(422, f"{name} must be text, got a file; with curl: -F '{name}=<FILE'")
    image, masks = form.get("image"), form.get("masks")
    if not isinstance(image, UploadFile):
        raise UploadError(422, f"there is no picture; {EXPECTED}")
    found = masks if masks is None or isinstance(masks, str) else await masks.read()
    wishes = {**request.query_params, **{name: text for name, text in form.items() if isinstance(text, str)}}
    return await run_in_threadpool(
        _upload,
        " ".join((image.filename or "image").split())[:200],
        await image.read(),
        found.encode() if isinstance(found, str) else found,
        wishes,
        limits,
    )


def _check_known(given: FormData | QueryParams, what: str) -> None:
    times = Counter(name for name, _ in given.multi_items())
    if unknown := sorted(times.keys() - set(_FIELDS)):
        raise UploadError(422, f"the {what} has a field {shown(unknown[0])}; it may have {', '.join(_FIELDS)}")
    if twice := [name for name in _FIELDS if times[name] > 1]:
        raise UploadError(422, f"the {what} has the field {twice[0]} {times[twice[0]]} times; send it once")


def _upload(name: str, data: bytes, masks: bytes | None, wishes: dict[str, Any], limits: Limits) -> Upload:
    picture = PictureBytes(name, data)
    if not data:
        raise UploadError(422, f"{name} is empty (0 bytes); send it again")
    check_picture(picture, limits)
    form = wishes.get("format", "ssa")
    if form not in ANSWERS:
        raise UploadError(422, f"format must be one of {', '.join(ANSWERS)}, got {shown(form)}")
    only = str(wishes.get("only", "")).lower()
    if only not in (*_YES, *_NO):
        raise UploadError(422, f"only must be true or false, got {shown(only)}")
    try:
        names = names_of(str(wishes.get("vocabulary", "")), limits.names)
    except InputError as error:
        raise UploadError(422, str(error)) from error
    has_masks = masks is not None and bool(masks.strip())
    return Upload(picture, limits, masks if has_masks else None, Kind(has_masks, names, only in _YES), form)
