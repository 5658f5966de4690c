"""Requests to a text runner, in one line."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from mmgen.runners.generation import TextRequest
from mmgen.text_params import Sampling, TextParams


def text_request(prompt: Sequence[int], max_tokens: int, sampling: Sampling | None = None, **more: Any) -> TextRequest:
    """`more`: fields of the request, and of its params."""
    drawn = {} if sampling is None else vars(sampling)
    own = {one.name: more.pop(one.name) for one in fields(TextRequest) if one.name in more}
    return TextRequest(prompt, TextParams(max_tokens=max_tokens, **{**drawn, **more}), **own)
