"""What requests that write texts have in common, as the OpenAI API names it, and what their answers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mmgen import __version__
from mmgen.errors import BadRequest
from mmgen.params import infos
from mmgen.serve.pipeline_schema import declared
from mmgen.serve.wire.bounds import MOST_BIASES, MOST_STOPS, entries
from mmgen.text_params import SEARCH, Sampling, TextParams

if TYPE_CHECKING:
    from mmgen.pipelines.language.text_pipeline import TokenUsage

FINGERPRINT = f"mmgen-{__version__}"
INFOS = infos(TextParams)
LEAST_P, LEAST_LOGPROB = 1e-9, -9999.0
"""top_p 0 means the likeliest token alone; JSON knows no infinity."""


class OpenAIBody(BaseModel):
    """A request's JSON. Unknown fields are ignored, as OpenAI's API does; a wrong type is an error."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class StreamOptions(OpenAIBody):
    include_usage: bool | None = False


class TextBody(OpenAIBody):
    """How a text is to be written."""

    model: str
    max_tokens: int | None = declared(TextParams, "max_tokens", None)
    temperature: float | None = declared(TextParams, "temperature", None, le=2)
    top_p: float | None = declared(TextParams, "top_p", None, gt=None, ge=0)
    top_k: int | None = declared(TextParams, "top_k", None)
    min_p: float | None = declared(TextParams, "min_p", None)
    repetition_penalty: float | None = declared(TextParams, "repetition_penalty", None)
    presence_penalty: float | None = declared(TextParams, "presence_penalty", None)
    frequency_penalty: float | None = declared(TextParams, "frequency_penalty", None)
    logit_bias: Annotated[dict[str, float], entries(MOST_BIASES)] | None = declared(TextParams, "logit_bias", None)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = declared(TextParams, "stop", None)
    seed: int | None = declared(TextParams, "seed", None)
    n: int | None = declared(TextParams, "n", None)
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    def params(self, **more: Any) -> TextParams:
        """For a text pipeline, with `more` fields. What is not said is as the model's makers recommend, else as OpenAI has it.

        Raises BadRequest.
        """
        given = {name: value for name in INFOS.keys() & type(self).model_fields if (value := getattr(self, name)) is not None}
        if self.top_p is not None:
            given["top_p"] = max(self.top_p, LEAST_P)
        unset = (frozenset(infos(Sampling)) | SEARCH) - given.keys()
        return TextParams(**given | {"logit_bias": bias(self.logit_bias or {}), "stop": self.stop or (), "unset": unset} | more)

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
