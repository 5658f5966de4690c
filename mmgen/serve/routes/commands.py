"""/v1/commands: a pipeline's stream for a command of the home's owner, with all options; see command_client.py.

Unlike /v1/pipelines it takes local paths and returns results unchanged: its caller can read the owner's files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from mmgen.errors import BadRequest, Forbidden, nearest
from mmgen.pipelines import event_json, signature
from mmgen.pipelines.factory import pipeline
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Here

router = APIRouter(prefix="/v1/commands", include_in_schema=False)


class CommandCall(BaseModel):
    """Arguments as the command line has them."""

    make: dict[str, Any]  # of the pipeline's constructor
    first: Any = None  # the positional argument of its `stream`; None: there is none
    call: dict[str, Any]
    kinds: Annotated[list[str], Field(max_length=100)]  # of events that are read


@router.post("/{name}")
async def command(name: str, body: CommandCall, context: Here) -> StreamingResponse:
    """The pipeline's events, each with its value as JSON text, which keeps infinite numbers. Kept in no history."""
    if not context.caller.owner:
        raise Forbidden("/v1/commands is for commands of the home's owner; use /v1/pipelines")
    made = context.rt.registry.pipelines.get(name)
    if not hasattr(made, "stream"):
        raise BadRequest(f'pipeline "{name}" does not stream; use /v1/pipelines')
    known = [parameter.name for parameter in signature.read(name, made).parameters if parameter.stage == "call"]
    for option in body.call:
        if option not in known:
            raise BadRequest(f'{name} has no option "{option}"{nearest(option, known)}; see `mmgen {name} --help`')
    request = context.begin(name, "chat", made.priority)

    def work() -> Iterator[Mapping[str, Any]]:
        bound = pipeline(name, runtime=context.rt, **body.make)
        first = () if body.first is None else (body.first,)
        with closing(bound) if hasattr(bound, "close") else nullcontext():
            for event in bound.stream(*first, **body.call, request=request):
                if event.kind in body.kinds:
                    yield {"kind": event.kind, "value": json.dumps(event.value, default=event_json.plain)}

    return await pipeline_calls.stream(context, request, work)
