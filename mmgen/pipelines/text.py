"""text: a beginning goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.pipelines.language.text_options import Strategy, TextOptions
from mmgen.pipelines.language.text_pipeline import Completion, Prompt, TextCallPlan, TextPipeline, called


class TextGeneration(TextPipeline[Completion]):
    """Go on writing from a beginning."""

    last = "completion"

    def asked(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        strategy: Strategy = "sample",
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 0.95,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        n: int = 1,
        beams: int = 4,
        length_penalty: float = 1.0,
        early_stopping: bool = False,
        logprobs: int | None = None,
        regex: str | None = None,
        json_schema: str | Mapping[str, Any] | None = None,
        lookup: bool = False,
        request: Request | None = None,
    ) -> TextCallPlan:
        """Writes what follows.

        prompt: how the text begins.
        max_tokens: tokens to write at most; the default is 256, or what the model still holds.
        strategy: sample draws each token; greedy takes the likeliest; beam looks for the likeliest text; contrastive for a
            likely one that does not repeat itself.
        temperature: below 1 likely tokens become likelier, above 1 less so; 0 is greedy.
        top_k: draw from so many of the likeliest tokens; 0 from all.
        top_p: draw from the likeliest tokens that together have this probability.
        min_p: draw from tokens that are at least so probable, as a share of the likeliest one's probability.
        typical_p: draw from the tokens nearest to the expected surprise that together have this probability.
        repetition_penalty: above 1 tokens of prompt and text become less likely.
        presence_penalty, frequency_penalty: above 0 tokens of the text become less likely, once or for each time they came.
        logit_bias: what is added to the logits of tokens, by their ids.
        stop: end before this text; can be given several times.
        seed: the same seed writes the same text; without one it is drawn by lot and reported.
        n: texts to write.
        beams: texts that beam search keeps.
        length_penalty: of beam search: above 0 for longer texts, below for shorter ones.
        early_stopping: of beam search: end with the first texts that are finished.
        logprobs: tell the log-probabilities of the text's tokens and of so many of the likeliest ones.
        regex: a regular expression that the whole text matches.
        json_schema: a JSON schema that the text follows, or the name of a .json file that holds it.
        lookup: guess ahead from what repeats; faster where a text copies from its prompt, and never different.

        Raises BadRequest for a value out of its range, TooLong for more tokens than the model holds, NotFound for a model that
        is not here, BadWeights for a damaged one.
        """
        if not isinstance(prompt, str) or not prompt:
            raise BadRequest('the prompt is empty; begin the text, such as "Once upon a time"')
        options = TextOptions(
            max_tokens, strategy, temperature, top_k, top_p, min_p, typical_p, repetition_penalty, presence_penalty,
            frequency_penalty, logit_bias, stop, seed, n, beams, length_penalty, early_stopping, logprobs, regex, json_schema,
            lookup,
        )  # fmt: skip
        return TextCallPlan(lambda client: Prompt(prompt, client.model.encode(prompt)), options, request)

    __call__ = called(asked)
