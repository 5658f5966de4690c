"""A pydantic request model from a pipeline's signature, without parameters that name local files.

An image is a data URL, base64, or where the settings allow it an http(s) URL; a model is one of the catalog; a store is a bare
name. A plugin's parameter that is a path should say so (pathlib.Path): it is not served then.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import Enum
from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema, create_model

from mmgen.errors import BadRequest
from mmgen.params import ParamInfo, infos
from mmgen.pipelines import signature
from mmgen.pipelines.signature import Parameter, Signature
from mmgen.serve import uploads
from mmgen.serve.wire.bounds import MOST_ITEMS, entries

FILES = frozenset(
    {
        "adapter",
        "control",
        "control_model",
        "embedding",
        "image_prompt",
        "lora",
        "preview_vae",
        "text_encoder",
        "upscaler",
        "vae",
    }
)
"""String parameters that are file paths."""
MODELS = frozenset({"model", "encoder", "reader", "draft"})
STORE = "store"


def _opened(value: object, info: ValidationInfo) -> Image:
    if not isinstance(value, str):
        raise ValueError("an image is a text: a data URL, or base64")
    assert info.context is not None
    return uploads.image_at(value if ":" in value else f"data:;base64,{value}", info.context["settings"])


EncodedImage = Annotated[
    Image,
    PlainValidator(_opened),
    WithJsonSchema({"type": "string", "description": "An image as a data: URL, or the base64 of its file."}),
]


def model_of(described: Signature) -> type[BaseModel]:
    """Checks JSON arguments; fields carry the parameters' names as aliases.

    Raises BadRequest for a pipeline that requires a local file.
    """
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(described.parameters):
        kind = None if parameter.name in FILES else network_type(parameter.annotation)
        if kind is not None:
            fields[f"field_{number}"] = _field(parameter, bounded(kind))
        elif parameter.required:
            raise BadRequest(
                f'pipeline "{described.name}" needs {parameter.name}, which cannot be sent over HTTP; use it from Python'
            )
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, title=described.name, allow_inf_nan=False)
    return create_model("Arguments", __config__=config, **fields)


def arguments(checked: BaseModel) -> dict[str, Any]:
    """The arguments that were set, by parameter name."""
    names = {field: info.alias or field for field, info in type(checked).model_fields.items()}
    return {names[field]: getattr(checked, field) for field in checked.model_fields_set}


def network_type(annotation: Any) -> Any:
    """The JSON-compatible part of a parameter's type; None if there is none."""
    parts = signature.alternatives(annotation)
    if Image in parts:
        return EncodedImage
    kept = [found for part in parts if (found := _part(part)) is not None]
    if any(get_origin(one) is dict for one in kept):
        kept = [one for one in kept if one is not str]  # a text beside a mapping is the name of its file
    return reduce(or_, kept) if kept else None


def _part(kind: Any) -> Any:
    """One member of a union."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal or kind in (Any, str, int, float, bool) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return kind
    if not isinstance(origin or kind, type):
        return None
    if issubclass(origin or kind, Mapping):
        return GenericAlias(dict, inner or (str, Any))
    if issubclass(origin or kind, Collection) and inner:
        part = network_type(inner[0])
        return None if part is None else GenericAlias(list, part)
    return None


def bounded(kind: Any) -> Any:
    """The type with a bound on each of its lists and objects."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list:
        return Annotated[GenericAlias(list, bounded(inner[0])), Field(max_length=MOST_ITEMS)]
    if origin is dict:
        return Annotated[kind, entries(MOST_ITEMS)]
    return reduce(or_, map(bounded, inner)) if origin in (Union, UnionType) else kind


def _field(parameter: Parameter, kind: Any) -> Any:
    if parameter.required:
        return kind, Field(alias=parameter.name, description=parameter.help or None)
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    optional = kind if default is not None else kind | None
    return optional, Field(
        default=default, alias=parameter.name, description=parameter.help or None, json_schema_extra=_limits(parameter)
    )


def declared(params: type[Any], name: str, default: Any = ..., **changed: Any) -> Any:
    """A body's field from one of a dataclass of `mmgen.params`: its default, limits and help, or what is `changed`."""
    info = infos(params)[name]
    usual = getattr(params, name) if default is ... else default
    return Field(default=usual, **{"description": info.help, **limits(info), **changed})


def limits(info: ParamInfo) -> dict[str, Any]:
    """As `pydantic.Field` takes them."""
    found: dict[str, Any] = {} if info.longest is None else {"max_length": info.longest}
    if info.least is not None:
        found |= {"gt" if info.above else "ge": info.least} | ({} if info.most == math.inf else {"le": info.most})
    return found


JSON_SCHEMA = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum", "max_length": "maxLength"}


def _limits(parameter: Parameter) -> dict[str, Any] | None:
    """For the schema alone: what is out of them the pipeline itself tells."""
    return {JSON_SCHEMA[name]: value for name, value in limits(parameter.info).items()} or None
