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
from mmgen.serve.command_client import RESULT
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
    """The pipeline's events, each with its value as JSON text, which keeps infinite numbers. Kept in no history.

    Of one that does not stream the result, as an event.
    """
    if not context.caller.owner:
        raise Forbidden("/v1/commands is for commands of the home's owner; use /v1/pipelines")
    made = context.rt.registry.pipelines.get(name)
    known = [parameter.name for parameter in signature.read(name, made).parameters if parameter.stage == "call"]
    for option in body.call:
        if option not in known:
            raise BadRequest(f'{name} has no option "{option}"{nearest(option, known)}; see `mmgen {name} --help`')
    request = context.begin(name, "chat", getattr(made, "priority", "interactive"))

    def work() -> Iterator[Mapping[str, Any]]:
        bound = pipeline(name, runtime=context.rt, **body.make)
        first = () if body.first is None else (body.first,)
        with closing(bound) if hasattr(bound, "close") else nullcontext():
            if not hasattr(bound, "stream"):
                yield told(RESULT, bound(*first, **body.call, request=request))
                return
            for event in bound.stream(*first, **body.call, request=request):
                if event.kind in body.kinds:
                    yield told(event.kind, event.value)

    return await pipeline_calls.stream(context, request, work)


def told(kind: str, value: Any) -> Mapping[str, Any]:
    return {"kind": kind, "value": json.dumps(value, default=event_json.plain)}
