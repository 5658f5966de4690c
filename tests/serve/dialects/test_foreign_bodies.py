"""Bodies of every dialect with one value that is another: refused with a reason, or read; never a fault of the server's."""

import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mmgen.errors import MmgenError
from mmgen.serve.dialects import ollama_chat, turn
from mmgen.serve.dialects.a1111_images import Img2ImgBody, Txt2ImgBody
from mmgen.serve.routes.anthropic_messages import CountRequest, MessagesRequest
from mmgen.serve.routes.chat import ChatRequest
from mmgen.serve.routes.ollama import ChatBody, GenerateBody
from mmgen.serve.routes.responses import ResponsesRequest

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    5,
    1e300,
    2**70,
    "",
    "x",
    "x" * 300,
    [],
    {},
    [[]],
    [None],
    {"type": []},
    {"type": "text"},
)
PARAMETERS = {"type": "object", "properties": {"x": {"type": "string"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": PARAMETERS}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
URL = "data:image/png;base64,AAAA"

CHAT = {
    "model": "m", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": URL}}]},
        {"role": "assistant", "content": "b", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"schema": PARAMETERS}}, "stop": ["x"], "logit_bias": {"5": 1},
}  # fmt: skip
RESPONSES = {
    "model": "m", "instructions": "i", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": URL}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "h"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": "b"},
    ],
    "tools": [{"type": "function", **FUNCTION}], "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "schema": PARAMETERS}}, "include": ["x"], "reasoning": {"effort": "low"},
}  # fmt: skip
STORE = {
    "model": "m", "input": "a", "tools": [{"type": "file_search", "vector_store_ids": ["s"]}],
    "text": {"format": {"type": "text"}},
}  # fmt: skip
MESSAGES = {
    "model": "m", "max_tokens": 3, "system": [{"type": "text", "text": "s"}], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"},
                                     {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "b"},
                                          {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": "1"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": True,
                                      "content": [{"type": "text", "text": "1"}]}, {"type": "text", "text": "c"}]},
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": PARAMETERS}], "tool_choice": {"type": "tool", "name": "f"},
    "thinking": {"type": "enabled"}, "stop_sequences": ["x"],
}  # fmt: skip
OLLAMA = {
    "model": "m", "messages": [
        {"role": "user", "content": "a", "images": ["AA"]},
        {"role": "assistant", "content": "", "thinking": "h",
         "tool_calls": [{"function": {"name": "f", "arguments": {"x": "1"}}}]},
        {"role": "tool", "content": "1", "tool_name": "f"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}], "format": PARAMETERS, "think": "low",
    "options": {"temperature": 0.5, "stop": ["x"], "num_predict": 3, "mirostat": 0, "top_k": 3}, "keep_alive": "5m",
}  # fmt: skip
GENERATE = {
    "model": "m",
    "prompt": "a",
    "system": "s",
    "images": ["AA"],
    "options": {"seed": 1},
    "format": "json",
    "raw": False,
}
UNIT = {
    "image": {"image": "AA"},
    "module": "canny",
    "model": "canny [abcd]",
    "weight": 1,
    "control_mode": 0,
    "threshold_a": 100,
}
DRAW = {
    "prompt": "a", "styles": [], "sampler_name": "DPM++ 2M", "scheduler": "karras", "steps": 3, "cfg_scale": 7, "width": 64,
    "override_settings": {"sd_model_checkpoint": "m"}, "alwayson_scripts": {"controlnet": {"args": [UNIT, None]}},
    "enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent",
}  # fmt: skip


def a1111(kind: Any) -> Callable[[Any], Any]:
    def read(body: Any) -> None:
        made = kind.model_validate(body)
        assert isinstance(made.given(), Mapping) and isinstance(made.controls(), list)
        _ = made.checkpoint

    return read


def ollama(body: Any) -> ChatRequest:
    made = ChatBody.model_validate(body)
    return turn.chat(made.said() | {"messages": ollama_chat.messages(made.messages), "tools": made.tools or None})


def generated(body: Any) -> ChatRequest:
    made = GenerateBody.model_validate(body)
    asked = {"role": "user", "content": made.prompt, "images": made.images}
    return turn.chat(made.said() | {"messages": ollama_chat.messages([asked])})


DIALECTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "chat": (ChatRequest.model_validate, CHAT),
    "responses": (lambda body: ResponsesRequest.model_validate(body).chat([]), RESPONSES),
    "responses-store": (lambda body: ResponsesRequest.model_validate(body).chat([]), STORE),
    "messages": (lambda body: MessagesRequest.model_validate(body).chat(), MESSAGES),
    "count": (lambda body: CountRequest.model_validate(body).chat(), MESSAGES),
    "ollama": (ollama, OLLAMA),
    "ollama-generate": (generated, GENERATE),
    "txt2img": (a1111(Txt2ImgBody), DRAW),
    "img2img": (a1111(Img2ImgBody), DRAW | {"init_images": ["AA"], "mask": "AA", "enable_hr": False}),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(body)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@pytest.mark.parametrize("name", DIALECTS)
def test_one_value_is_another(name: str) -> None:
    read, body = DIALECTS[name]
    read(body)
    lot = random.Random(name)
    for path in places(body):
        for junk in lot.sample(JUNK, 5):
            given = changed(body, path, junk)
            try:
                made = read(given)
                if isinstance(made, ChatRequest):
                    made.chat_params(), made.chat_options()
            except (MmgenError, ValidationError, RequestValidationError):
                pass
            except Exception as why:
                raise AssertionError(f"{path} = {junk!r}") from why


def test_a_message_of_many_texts_takes_no_quadratic_time() -> None:
    """The event loop reads it."""
    texts = [{"type": "text", "text": "x" * 2000}, {"type": "thinking", "thinking": "y" * 2000}] * 6000
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": texts}]}
    began = time.process_time()
    made = CountRequest.model_validate(body).chat()
    assert time.process_time() - began < 2
    assert isinstance(made.messages[1].content, str) and len(made.messages[1].content) == 12_000_000
