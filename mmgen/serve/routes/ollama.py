"""/api: what Ollama's clients ask for. Bodies are JSON whatever type they say they are, as curl sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen import __version__
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.pipelines.language.text_pipeline import USUAL
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.dialects import ollama_chat, ollama_models, turn
from mmgen.serve.dialects.json_lines import STREAM, described, reader
from mmgen.serve.dialects.ollama_chat import OllamaEvents, now
from mmgen.serve.dialects.turn import Piece
from mmgen.serve.openai_fields import OpenAIBody
from mmgen.serve.routes import embeddings
from mmgen.serve.routes.completions import CompletionRequest, CompletionStream
from mmgen.serve.wire.bounds import MOST_MESSAGES, MOST_PARTS, MOST_TOOLS, items

router = APIRouter(prefix="/api", tags=["ollama"])


class ModelBody(OpenAIBody):
    model: str
    options: dict[str, Any] | None = None
    keep_alive: float | int | str | None = Field(None, description="Passed over: what stays loaded is the engine's business.")


class WritingBody(ModelBody):
    stream: bool | None = True
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    def said(self) -> dict[str, Any]:
        """What a chat is told beside its messages."""
        effort = self.think if isinstance(self.think, str) else None
        return {
            "model": ollama_models.plain(self.model),
            "response_format": ollama_chat.response_format(self.format),
            "think": self.think if isinstance(self.think, bool) else None,
            "reasoning_effort": effort,
            "logprobs": bool(self.logprobs),
            "top_logprobs": self.top_logprobs,
            **ollama_chat.options(self.options),
        }


class ChatBody(WritingBody):
    messages: Annotated[list[dict[str, Any]], Field(max_length=MOST_MESSAGES)] = Field(default=[])
    tools: Annotated[list[dict[str, Any]], Field(max_length=MOST_TOOLS)] | None = None


class GenerateBody(WritingBody):
    prompt: str = ""
    system: str | None = None
    images: Annotated[list[str], Field(max_length=MOST_PARTS)] | None = None
    suffix: str | None = None
    template: str | None = None
    context: list[Any] | None = None
    raw: bool | None = False


class EmbedBody(ModelBody):
    input: str | Annotated[list[str], Field(max_length=embeddings.MOST), items(str)] = ""
    truncate: bool | None = True
    dimensions: int | None = Field(None, ge=1)


class OldEmbedBody(ModelBody):
    prompt: str = ""


class NamedBody(OpenAIBody):
    model: str | None = None
    name: str | None = Field(None, description="As older clients call the model.")
    stream: bool | None = True

    @property
    def wanted(self) -> str:
        if not (found := self.model or self.name):
            raise BadRequest("model is missing; name one, as /api/tags lists them")
        return ollama_models.plain(found)


BODIES = (ChatBody, GenerateBody, EmbedBody, OldEmbedBody, NamedBody)


@router.get("/version")
async def version(context: Here) -> dict[str, str]:
    """Of this server; clients look whether there is one."""
    return {"version": __version__}


@router.post("/chat", response_model=None, openapi_extra=described(ChatBody))
async def chat(body: Annotated[ChatBody, Depends(reader(ChatBody))], context: Here) -> Response:
    """The next message of a conversation; without messages the model is loaded."""
    if not body.messages:
        return await loaded(context, body, {"message": {"role": "assistant", "content": ""}})
    said = {"messages": ollama_chat.messages(body.messages), "tools": body.tools or None}
    return await answered(context, body, body.said() | said, OllamaEvents(body.model))


@router.post("/generate", response_model=None, openapi_extra=described(GenerateBody))
async def generate(body: Annotated[GenerateBody, Depends(reader(GenerateBody))], context: Here) -> Response:
    """What a model writes to a prompt; `raw`: how a text goes on. Without a prompt the model is loaded."""
    if other := [name for name in ("suffix", "template", "context") if getattr(body, name)]:
        raise BadRequest(f"{other[0]} is given; this server has no such thing, leave it out (for a conversation: /api/chat)")
    if not body.prompt:
        return await loaded(context, body, {"response": ""})
    made = OllamaEvents(body.model, generates=True)
    if body.raw:
        return await continued(context, body, made)
    system = [{"role": "system", "content": body.system}] if body.system else []
    asked = {"role": "user", "content": body.prompt, "images": body.images}
    return await answered(context, body, body.said() | {"messages": [*system, *ollama_chat.messages([asked])]}, made)


@router.post("/embed", response_model=None, openapi_extra=described(EmbedBody))
async def embed(body: Annotated[EmbedBody, Depends(reader(EmbedBody))], context: Here) -> Response:
    """Vectors of unit length, in the texts' order."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    return await embedded(context, body, [one for one in texts if one], "embeddings")


@router.post("/embeddings", response_model=None, openapi_extra=described(OldEmbedBody))
async def old_embed(body: Annotated[OldEmbedBody, Depends(reader(OldEmbedBody))], context: Here) -> Response:
    """One text's vector, as older clients ask for it."""
    return await embedded(
        context, EmbedBody.model_validate({"model": body.model}), [body.prompt] if body.prompt else [], "embedding"
    )


@router.get("/tags")
def tags(context: Here) -> dict[str, Any]:
    """The models that write or embed texts."""
    return {"models": [ollama_models.told(one) for one in ollama_models.served(context)]}


@router.get("/ps")
def running(context: Here) -> dict[str, Any]:
    """Those whose weights are in memory."""
    return {"models": [ollama_models.told(one) for one in ollama_models.loaded(context)]}


@router.post("/show", response_model=None, openapi_extra=described(NamedBody))
async def show(body: Annotated[NamedBody, Depends(reader(NamedBody))], context: Here) -> Response:
    """What is known of a model."""
    from starlette.concurrency import run_in_threadpool

    found = context.http.app.state.catalog.get(body.wanted)
    return JSONResponse(await run_in_threadpool(ollama_models.shown, found))


@router.post("/pull", response_model=None, openapi_extra=described(NamedBody))
async def pull(body: Annotated[NamedBody, Depends(reader(NamedBody))], context: Here) -> Response:
    """Has a repository's model downloaded, where the server allows it; of one that is here it tells so."""
    name = body.wanted
    ollama_models.check_pull(context, name)
    request = context.begin("pull", "chat")

    def events() -> Iterator[dict[str, Any]]:
        yield {"status": f"pulling {name}"}
        ollama_models.fetch(context, name)
        yield {"status": "success"}

    if body.stream is not False:
        return await pipeline_calls.stream(context, request, events, form=STREAM)
    await pipeline_calls.run(context, request, lambda: list(events()))
    return JSONResponse({"status": "success"})


async def answered(context: Context, body: WritingBody, said: dict[str, Any], made: OllamaEvents) -> Response:
    call = turn.begin(context, turn.chat(said))
    return await _sent(context, call.request, body, made, lambda: turn.pieces(turn.chunks(call), made.turn))


async def continued(context: Context, body: GenerateBody, made: OllamaEvents) -> Response:
    """A text as it stands, without a template."""
    given = {"max_tokens": USUAL} | body.said() | {"prompt": body.prompt, "stream_options": {"include_usage": True}}
    given |= {"logprobs": body.top_logprobs or 0} if body.logprobs else {"logprobs": None}
    asked = turn.checked(
        CompletionRequest, {name: given[name] for name in CompletionRequest.model_fields.keys() & given.keys()}
    )
    request = context.begin("text", "chat", "interactive")
    written = CompletionStream(context, asked, request, asked.prompts(), asked.completion_params())

    def pieces() -> Iterator[Piece]:
        for chunk in written.stream():
            made.turn.usage = chunk.get("usage") or made.turn.usage
            for choice in chunk["choices"]:
                made.turn.finish = choice["finish_reason"] or made.turn.finish
                made.turn.add(piece := Piece("text", choice["text"]))
                yield piece

    return await _sent(context, request, body, made, pieces)


async def _sent(context: Context, request: Request, body: WritingBody, made: OllamaEvents, pieces: Any) -> Response:
    if body.stream is not False:
        return await pipeline_calls.stream(context, request, lambda: made.events(pieces()), form=STREAM)

    def whole() -> dict[str, Any]:
        for _ in made.events(pieces()):
            pass
        return made.whole()

    return JSONResponse(await pipeline_calls.run(context, request, whole))


async def loaded(context: Context, body: ModelBody, said: dict[str, Any]) -> Response:
    """The answer to a request that has nothing to say: its model is in memory then."""
    request = context.begin("load", "chat")
    reference = context.model(ollama_models.plain(body.model), "text")
    await pipeline_calls.run(context, request, lambda: context.rt.text(reference) and None)
    return JSONResponse({"model": body.model, "created_at": now(), **said, "done": True, "done_reason": "load"})


async def embedded(context: Context, body: EmbedBody, texts: list[str], name: str) -> Response:
    request = context.begin("embeddings", "embeddings")
    asked = embeddings.EmbeddingsRequest.model_construct(
        model=ollama_models.plain(body.model), input=texts, dimensions=body.dimensions, input_type=None
    )

    def work() -> tuple[Any, int]:
        return embeddings.vectors(context, asked, request, cut=body.truncate is not False) if texts else ([], 0)

    vectors, tokens = await pipeline_calls.run(context, request, work)
    listed = [vector.tolist() for vector in vectors]
    if name == "embedding":
        return JSONResponse({"embedding": listed[0] if listed else []})
    return JSONResponse({"model": body.model, "embeddings": listed, "prompt_eval_count": tokens})
