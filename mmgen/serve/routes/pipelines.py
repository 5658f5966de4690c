"""/v1/pipelines: every pipeline by its signature; plugin pipelines are served automatically."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from mmgen.config import current_keys
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Forbidden, PluginError
from mmgen.pipelines import signature
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.image.image_pipeline import Images
from mmgen.pipelines.signature import Signature
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_calls, pipeline_schema, serialization, uploads
from mmgen.serve.context import Caller, Context, Here
from mmgen.stores.keys import EVERYDAY

router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"])
MOST_KEPT = 20_000  # characters of an argument
SCOPES = {
    "rag-text": "stores", "image-search": "stores", "text": "chat", "chat": "chat", "image-embed": "embeddings",
    "analogy": "embeddings",
    **dict.fromkeys(("txt2img", "img2img", "inpaint", "edit", "variations", "upscale"), "images"),
    **dict.fromkeys(("zero-shot-image", "tags", "caption"), "images"),
}  # fmt: skip
"""What a key must be for to call ours; for a plugin's it must be for everything, as that may do anything."""
ELSEWHERE = {"assistant": "/v1/assistant", "rag-search": "/v1/stores/NAME/search"}
"""Pipelines that have a route of their own, which knows what each of their tools may do."""


class PipelineInfo(BaseModel):
    id: str
    object: str = "pipeline"
    description: str
    parameters: dict[str, Any] = Field(description="JSON schema of the arguments.")


class PipelineList(BaseModel):
    object: str = "list"
    data: list[PipelineInfo]


class PipelineResult(BaseModel):
    id: str
    object: str = "pipeline.result"
    pipeline: str
    result: Any = Field(description="What the pipeline returned; images as data URLs.")


@router.get("")
def pipelines(context: Here) -> PipelineList:
    """The pipelines that the key may call, with what they take."""
    return PipelineList(data=offered(context.rt, context.caller))


@router.post("/{name}")
async def call(name: str, body: dict[str, Any], context: Here) -> PipelineResult:
    """Calls a pipeline with JSON arguments."""
    request = begin(name, context)

    def work() -> PipelineResult:
        result = called(name, body, context, request)
        content = serialization.to_json(result)
        keep(context, request, body, result)
        return PipelineResult(id=request.id, pipeline=name, result=content)

    return await pipeline_calls.run(context, request, work)


def offered(rt: Runtime, caller: Caller) -> list[PipelineInfo]:
    """What cannot be imported, or called from outside, is left out."""
    found = []
    for entry in rt.registry.pipelines:
        try:
            check(entry.name, caller)
            described, made = described_as(rt, entry.name)
        except (Forbidden, BadRequest, PluginError):
            continue
        schema = made.model_json_schema()
        found.append(PipelineInfo(id=entry.name, description=described.text or entry.summary, parameters=schema))
    return found


def described_as(rt: Runtime, name: str) -> tuple[Signature, type[BaseModel]]:
    """A pipeline and the model of its arguments. Raises NotFound, PluginError, or BadRequest for one that is not served."""
    described = signature.read(name, rt.registry.pipelines.get(name))
    return described, pipeline_schema.model_of(described)


def check(name: str, caller: Caller) -> None:
    """Raises Forbidden for what the key is not for, BadRequest for a pipeline that has its own route."""
    if name in ELSEWHERE:
        raise BadRequest(f"{name} is called at {ELSEWHERE[name]}, where its tools are chosen; use that route")
    for scope in (SCOPES[name],) if name in SCOPES else EVERYDAY:
        caller.check(scope)
    if name not in SCOPES and caller.stores is not None:
        raise Forbidden(f'"{name}" is a plugin\'s and may use any store, this key may not; use another key')


def begin(name: str, context: Context) -> Request:
    """The engine's request of a call. Raises NotFound or Forbidden."""
    context.rt.registry.pipelines.entry(name)
    check(name, context.caller)
    return context.begin(name, SCOPES.get(name, EVERYDAY[0]))


def called(name: str, given: dict[str, Any], context: Context, request: Request) -> Any:
    """What the pipeline returns. Blocks; raises as it does, and RequestValidationError for arguments that do not fit."""
    described, model = described_as(context.rt, name)
    given = current_keys(given, signature.old_names(context.rt.registry.pipelines.get(name)), name)
    try:
        checked = model.model_validate(given, context={"settings": context.http.app.state.settings})
    except ValidationError as why:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in why.errors(include_url=False, include_context=False)]
        raise RequestValidationError(errors) from None
    settings, said = context.http.app.state.settings, pipeline_schema.arguments(checked)
    said = {key: uploads.opened(value, settings) if isinstance(value, list) else value for key, value in said.items()}
    values = placed(described, said, context)
    making = {parameter.name for parameter in described.parameters if parameter.stage == "make"}
    made = pipeline(name, runtime=context.rt, **{key: value for key, value in values.items() if key in making})
    try:
        taken = inspect.signature(made).parameters
        ours = {"request": request} if "request" in taken else {}
        return made(**{key: value for key, value in values.items() if key not in making}, **ours)
    finally:
        if hasattr(made, "close"):
            made.close()


def placed(described: Signature, values: dict[str, Any], context: Context) -> dict[str, Any]:
    """With models of the catalog for their names, and a store that the key may use."""
    out = dict(values)
    for name in pipeline_schema.MODELS & values.keys():
        out[name] = None if values[name] is None else context.http.app.state.catalog.get(values[name]).reference
    if "rerank" in out and described.name in SCOPES:
        out["rerank"] = context.reranker(out["rerank"])
    names = {parameter.name for parameter in described.parameters}
    if pipeline_schema.STORE in names:
        store = values.get(pipeline_schema.STORE)
        if store is None and context.caller.stores is not None:
            raise BadRequest(f"store is missing; this key may use {', '.join(sorted(context.caller.stores))}")
        if store is not None:
            context.caller.check(SCOPES.get(described.name, EVERYDAY[0]), store)
    return out


def keep(context: Context, request: Request, given: dict[str, Any], result: Any) -> None:
    """In the history: images as files, and of images that were given that there were some."""
    asked = {key: "(data)" if isinstance(value, str) and len(value) > MOST_KEPT else value for key, value in given.items()}
    if isinstance(result, Images):
        files = {f"{number}.png": file for number, file in enumerate(serialization.files(result), 1)}
        context.keep(request, asked, serialization.recipes(result), files)
    else:
        context.keep(request, asked, {"result": serialization.to_json(result)})
