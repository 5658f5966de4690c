"""/v1/completions: a text goes on."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, TooLong
from mmgen.pipelines.factory import pipeline
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.openai_fields import FINGERPRINT, LEAST_LOGPROB, TextBody, usage
from mmgen.serve.wire.bounds import Ids
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.pipelines.language.text_pipeline import Prompt

router = APIRouter(tags=["chat"])
USUAL = 16
"""Tokens, unless the caller says otherwise; OpenAI's."""
TOGETHER = 8
"""Prompts of a call that are under way at once."""


class CompletionRequest(TextBody):
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=64)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=64)]
    )
    max_tokens: int | None = Field(None, ge=0)
    echo: bool | None = False
    logprobs: int | None = Field(None, ge=0, le=5)
    suffix: str | None = None

    def completion_params(self) -> TextParams:
        if self.suffix:
            raise BadRequest("suffix is given; these models write onwards and fill no gap, leave it out")
        if self.max_tokens == 0 and not self.echo:
            raise BadRequest("max_tokens is 0 and echo is not set, so that there is nothing to answer; ask for 1 or more")
        return self.params(
            max_tokens=USUAL if self.max_tokens is None else max(1, self.max_tokens),
            prompt_logprobs=self.logprobs if self.echo else None,
        )

    def prompts(self) -> list[str | list[int]]:
        """One or several. Raises BadRequest for an empty one."""
        if isinstance(self.prompt, str):
            found: list[Any] = [self.prompt]
        else:
            found = [self.prompt] if isinstance(self.prompt[0], int) else list(self.prompt)
        if "" in found:
            raise BadRequest('a prompt is empty; begin the text, such as "Once upon a time"')
        return found


@router.post("/v1/completions", response_model=None)
async def completions(body: CompletionRequest, context: Here) -> Response:
    """How a text, or several, may go on; whole or as a stream of server-sent events."""
    params, prompts = body.completion_params(), body.prompts()
    request = context.begin("text", "chat", "interactive")
    writing = CompletionStream(context, body, request, prompts, params)
    if body.stream:
        return await pipeline_calls.stream(context, request, writing.stream)
    return JSONResponse(await pipeline_calls.run(context, request, writing.whole))


class CompletionStream:
    """One call being answered. Choice number n * i + j is text j of prompt i."""

    def __init__(
        self, context: Context, body: CompletionRequest, request: Request, prompts: Sequence[Any], params: TextParams
    ) -> None:
        self.context, self.body, self.request, self.prompts, self.params = context, body, request, prompts, params
        self.n = params.n
        self.head = {
            "id": f"cmpl-{request.id}",
            "object": "text_completion",
            "created": int(request.created),
            "model": body.model,
            "system_fingerprint": FINGERPRINT,
        }

    def made(self) -> Any:
        """The pipeline that writes."""
        model = None if self.body.model is None else self.context.model(self.body.model, "text")
        return pipeline("text", runtime=self.context.rt, model=model)

    def events(self) -> Iterator[tuple[int, Any]]:
        """Of all prompts, as they come."""
        made = self.made()
        prompts = [partial(_prompt, given=one) for one in self.prompts]
        return merged([partial(made.write, one, self.params, self.request) for one in prompts], self.request)

    def whole(self) -> dict[str, Any]:
        done = {index: event.value for index, event in self.events() if event.kind == "completion"}
        choices = []
        for index in range(len(self.prompts)):
            result = done[index]
            for place, (text, reason) in enumerate(zip(result.texts, result.finish_reasons, strict=True)):
                written = result.logprobs and result.logprobs[place]
                if self.scores_alone:
                    text, reason, written = "", "length", []
                logprobs = None if result.logprobs is None else Logprobs().told([*(result.prompt_logprobs or ()), *written])
                whole = result.prompt + text if self.body.echo else text
                choices.append({"index": self.n * index + place, "text": whole, "logprobs": logprobs, "finish_reason": reason})
        self.keep([done[index] for index in range(len(self.prompts))])
        return {**self.head, "choices": choices, "usage": _total(done.values(), not self.scores_alone)}

    @property
    def scores_alone(self) -> bool:
        """Whether nothing is to be written: evaluation harnesses ask so for a prompt's log-probabilities. A token is written
        nevertheless, and left out."""
        return self.body.max_tokens == 0

    def stream(self) -> Iterator[dict[str, Any]]:
        done: dict[int, Any] = {}
        logprobs = [Logprobs() for _ in range(self.n * len(self.prompts))]
        begun: set[int] = set()
        read: dict[int, list[Any]] = {}  # tokens of prompts that are echoed
        for prompt, event in self.events():
            if event.kind == "prompt":
                read[prompt] = event.value
            elif event.kind == "text":
                delta, index = event.value, self.n * prompt + event.value.index
                tokens = [] if self.scores_alone else delta.tokens
                if index not in begun:
                    tokens = [*read.get(prompt, ()), *tokens]
                told = logprobs[index].told(tokens) if tokens else None
                yield self.chunk(index, self._before(prompt, index, begun) + delta.text * (not self.scores_alone), told)
            else:
                done[prompt] = event.value
                for place, reason in enumerate(event.value.finish_reasons):
                    index = self.n * prompt + place
                    yield self.chunk(index, self._before(prompt, index, begun), None, reason)
        self.keep([done[index] for index in range(len(self.prompts))])
        if self.body.tells_usage:
            yield {**self.head, "choices": [], "usage": _total(done.values(), not self.scores_alone)}

    def _before(self, prompt: int, index: int, begun: set[int]) -> str:
        """The prompt, once, where it is to be told."""
        if not self.body.echo or index in begun:
            return ""
        begun.add(index)
        given = self.prompts[prompt]
        client = self.context.rt.text(self.made().reference)
        return given if isinstance(given, str) else client.model.tokenizer.decode(given)

    def chunk(self, index: int, text: str, logprobs: Any = None, reason: str | None = None) -> dict[str, Any]:
        more = {"usage": None} if self.body.tells_usage else {}
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return {**self.head, "choices": [choice], **more}

    def keep(self, results: Sequence[Any]) -> None:
        told = {"texts": [text for one in results for text in one.texts], "usage": _total(results), "seed": results[0].seed}
        self.context.keep(self.request, self.body.asked(), told)


def _prompt(client: TextClient, given: str | list[int]) -> Prompt:
    """Raises BadRequest for ids that are no tokens of the model's."""
    from mmgen.pipelines.language.text_pipeline import Prompt

    if isinstance(given, str):
        client.model.check_length(given)
        return Prompt(given, client.model.encode(given))
    if len(given) > client.max_tokens:
        raise TooLong(f"the prompt is {len(given):,} tokens, the model reads {client.max_tokens:,}; shorten it")
    size = client.model.lm.config.vocab_size
    if wrong := [token for token in given if token >= size]:
        raise BadRequest(f"the prompt names token {wrong[0]}; {client.name} has 0 to {size - 1}")
    return Prompt(client.model.tokenizer.decode(given), given)


class Logprobs:
    """A text's log-probabilities as /v1/completions tells them, with the place of every token in the text so far."""

    def __init__(self) -> None:
        self._offset, self._decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")

    def told(self, tokens: Sequence[Any]) -> dict[str, Any]:
        offsets = []
        for one in tokens:  # where the character begins that the token is of, or begins with
            if one.bytes and one.bytes[0] & 0xC0 != 0x80:  # what came before was no character
                self._offset += len(self._decoder.decode(b"", True))
            offsets.append(self._offset)
            self._offset += 0 if one.hidden else len(self._decoder.decode(bytes(one.bytes)))
        return {
            "tokens": [_name(one) for one in tokens],
            "token_logprobs": [_finite(one.logprob) for one in tokens],
            "top_logprobs": [None if one.logprob is None else _top(one.top) for one in tokens],
            "text_offset": offsets,
        }


def _name(token: Any) -> str:
    """A part of a character is told as OpenAI does."""
    return f"bytes:{token.text}" if token.text.encode() != bytes(token.bytes) else str(token.text)


def _finite(logprob: float | None) -> float | None:
    """JSON knows no infinity."""
    return None if logprob is None else max(logprob, LEAST_LOGPROB)


def _top(best_first: Sequence[Any]) -> dict[str, float | None]:
    """Of tokens that look the same the likeliest counts."""
    return {_name(one): _finite(one.logprob) for one in reversed(best_first)}


def _total(results: Any, written: bool = True) -> dict[str, Any]:
    parts = [usage(one.usage if written else replace(one.usage, written=0)) for one in results]
    total = {key: sum(part[key] for part in parts) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    cached = sum(part["prompt_tokens_details"]["cached_tokens"] for part in parts)
    return {**total, "prompt_tokens_details": {"cached_tokens": cached}}


def merged(makers: Sequence[Callable[[], Iterator[Any]]], request: Request) -> Iterator[tuple[int, Any]]:
    """(place, event) of several streams of a request in the order in which they come. The first that fails ends all."""
    if len(makers) == 1:
        yield from ((0, event) for event in makers[0]())
        return
    queue: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    end = object()

    def follow(place: int) -> None:
        try:
            for event in makers[place]():
                queue.put((place, event, None))
            queue.put((place, end, None))
        except BaseException as why:
            queue.put((place, end, why))

    left = len(makers)
    with ThreadPoolExecutor(min(TOGETHER, left), "mmgen-prompts") as pool:
        try:
            for place in range(left):
                pool.submit(follow, place)
            while left:
                place, event, error = queue.get()
                if error is not None:
                    raise error
                if event is end:
                    left -= 1
                else:
                    yield place, event
        finally:
            if left:
                request.cancel()
