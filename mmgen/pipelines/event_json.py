"""Events of pipelines as JSON and back, between a server and the commands of its home. Imports no torch, no numpy."""

from __future__ import annotations

import base64
import io
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from mmgen.pipelines.image import output_paths

if typing.TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class DrawnFile:
    """A finished image as the server encoded it, with its recipe; what `FinishedImage` is to who writes it to a file."""

    index: int
    seed: int
    png: str = field(repr=False)  # base64

    def save(self, path: Path) -> None:
        """Raises BadRequest where it cannot be written."""
        output_paths.write_whole(path, base64.b64decode(self.png))

    @property
    def image(self) -> Image:
        from PIL import Image

        return Image.open(io.BytesIO(base64.b64decode(self.png)))


@dataclass(frozen=True)
class DrawnFiles:
    """What a call that drew them returns: everything but the pixels."""

    values: Mapping[str, Any]

    def to_dict(self) -> Mapping[str, Any]:
        return self.values


def plain(value: Any) -> Any:
    """For json.dumps's `default`: dataclasses by their fields, a finished image as a `DrawnFile`, numbers of numpy."""
    if callable(encoded := getattr(value, "png", None)):
        return {"index": value.index, "seed": value.seed, "png": base64.b64encode(encoded()).decode()}
    if callable(to_dict := getattr(value, "to_dict", None)):
        return to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.item()


def rebuilt(kind: Any, value: Any) -> Any:
    """A value of type `kind`, made of dataclasses, lists, tuples and unions with None, from its JSON."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is DrawnFiles:
        return DrawnFiles(value)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast("Any", kind)(**{name: rebuilt(hints[name], one) for name, one in value.items()})
    if origin in (typing.Union, types.UnionType):
        return None if value is None else rebuilt(next(one for one in inner if one is not types.NoneType), value)
    if origin in (list, tuple) and value is not None:
        return origin(rebuilt(inner[0], one) for one in value)
    return value
