"""What requests that write texts have in common, as the OpenAI API names it, and what their answers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mmgen import __version__
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.pipelines.language.text_pipeline import TokenUsage

FINGERPRINT = f"mmgen-{__version__}"
LEAST_P, LEAST_LOGPROB = 1e-9, -9999.0
"""top_p 0 means the likeliest token alone; JSON knows no infinity."""


class OpenAIBody(BaseModel):
    """A request's JSON. Unknown fields are ignored, as OpenAI's API does; a wrong type is an error."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class StreamOptions(OpenAIBody):
    include_usage: bool | None = False


class TextOptionsBody(OpenAIBody):
    """How a text is to be written."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    n: int | None = Field(None, ge=1, le=64)
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    def options(self) -> dict[str, Any]:
        """For a text pipeline; what is not said is as OpenAI has it. Raises BadRequest."""
        return {
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else max(self.top_p, LEAST_P),
            "presence_penalty": self.presence_penalty or 0.0,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "logit_bias": bias(self.logit_bias or {}),
            "stop": self.stop or (),
            "seed": self.seed,
            "n": 1 if self.n is None else self.n,
        }

    @property
    def tells_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def asked(self) -> dict[str, Any]:
        """For the history."""
        return self.model_dump(exclude_none=True, exclude={"stream", "stream_options"}, by_alias=True)


def bias(given: Mapping[str, float]) -> dict[int, float]:
    """JSON's keys are texts. Raises BadRequest for what is no token."""
    if wrong := [key for key in given if not (key.isascii() and key.isdecimal() and len(key) < 10)]:
        raise BadRequest(f"logit_bias names token {wrong[0][:20]!r}; give token ids")
    return {int(key): value for key, value in given.items()}


def usage(used: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.written,
        "total_tokens": used.prompt + used.written,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {"accepted_prediction_tokens": used.accepted},
    }
