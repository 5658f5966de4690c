"""Pipeline results as JSON. Images become data URLs; server paths are not disclosed."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from PIL.Image import Image

from mmgen.pipelines.image.image_pipeline import Images
from mmgen.serve.image_calls import encoded, published
from mmgen.serve.model_catalog import name_of

PATH_FIELDS = frozenset({"document", "source", "uri"})
"""Fields of passages, citations and images that may hold a local path; reduced to the file name."""


def to_json(result: Any, name: str = "") -> Any:
    """Plain lists, dictionaries, texts and finite numbers. `name`: of the field that holds it."""
    if isinstance(result, Images):
        return {"images": [data_url(file) for file in files(result)], **recipes(result)}
    if isinstance(result, str):
        if name == "model":
            return name_of(result)
        return PurePath(result).name if name in PATH_FIELDS and "/" in result else result
    if result is None or isinstance(result, bool | int):
        return result
    if isinstance(result, float):
        return result if math.isfinite(result) else None
    if isinstance(result, Image):
        return data_url(encoded(result, "png"))
    if isinstance(result, PurePath):
        return result.name
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {one.name: to_json(getattr(result, one.name), one.name) for one in dataclasses.fields(result)}
    if isinstance(result, Mapping):
        return {str(key): to_json(value, str(key)) for key, value in result.items()}
    if hasattr(result, "tolist"):  # arrays and tensors
        return to_json(result.tolist(), name)
    return [to_json(one, name) for one in result] if isinstance(result, Iterable) else str(result)


def recipes(images: Images) -> dict[str, Any]:
    """Metadata and recipes, without pixels."""
    found: dict[str, Any] = to_json(published(images).to_dict())
    return found


def files(images: Images) -> list[bytes]:
    """PNGs with their recipes."""
    return [encoded(image, "png", made=made) for image, made in zip(images.images, images.recipes, strict=True)]


def data_url(file: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"
