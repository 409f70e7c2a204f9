"""What the OpenAPI document says of `/label`, whose body FastAPI does not read itself."""

from __future__ import annotations

from typing import Any

SENTENCE: dict[str, Any] = {
    "description": "One sentence that says what is wrong and what to do.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
        }
    },
}
_FIELDS: dict[str, Any] = {
    "image": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF"},
    "masks": {
        "type": "string",
        "format": "binary",
        "description": "SA-1B style JSON, {annotations: [{segmentation: ...}]}; without it, SAM makes masks",
    },
    "vocabulary": {
        "type": "string",
        "description": "names, with commas or line breaks between, offered for every mask (engine presets)",
    },
    "only": {"type": "boolean", "default": False, "description": "nothing but the vocabulary proposes names"},
    "format": {"type": "string", "enum": ["ssa", "coco", "both"], "default": "ssa"},
}
BODY: dict[str, Any] = {
    "required": True,
    "description": "A form; or the picture as the body, and `vocabulary`, `only`, `format` in the query.",
    "content": {
        "multipart/form-data": {"schema": {"type": "object", "properties": _FIELDS, "required": ["image"]}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}
_WHY = {
    400: "The request is damaged.",
    401: "The token is missing or wrong.",
    408: "The request came in too slowly.",
    413: "The picture has too many bytes or pixels; it was not decoded.",
    415: "The body is no picture.",
    422: "The picture, its masks or a wish cannot be used.",
    429: "Too many requests wait, or come from one address; `Retry-After` says when to come again.",
    503: "The service is ending, or its device is lost.",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The published SSA JSON, a COCO data set of one picture, or both."},
    **{status: {**SENTENCE, "description": why} for status, why in _WHY.items()},
}
