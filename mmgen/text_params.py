"""Everything a text call can say: one object from the command line, HTTP, a form or Python to the runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from mmgen.errors import BadRequest
from mmgen.params import ParamInfo, check, param
from mmgen.value_checks import MAX_SEED

Strategy = Literal["sample", "greedy", "beam", "contrastive"]
SEARCHES = ("beam", "contrastive")
SEARCH = frozenset({"strategy", "beams", "length_penalty", "early_stopping"})
"""Fields that say how sequences are searched."""
MAX_LOGPROBS = 20
MAX_SEQUENCES = 64
BIAS = ParamInfo(least=-100, most=100)


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; a filter's default leaves everything. Raises BadRequest for a value out of its range."""

    temperature: float = param(
        1.0,
        "below 1 likely tokens become likelier, above 1 less so; 0 is greedy.",
        least=0,
        most=100,
        limits="0 (always the likeliest token) to 100, usually 1",
    )
    top_k: int = param(
        0, "draw from so many of the likeliest tokens; 0 from all.", least=0, limits="1 or more, or 0 for all tokens"
    )
    top_p: float = param(
        1.0, "draw from the likeliest tokens that together have this probability.", least=0, most=1, above=True
    )
    min_p: float = param(
        0.0,
        "draw from tokens that are at least so probable, as a share of the likeliest one's probability.",
        least=0,
        most=1,
    )
    typical_p: float = param(
        1.0,
        "draw from the tokens nearest to the expected surprise that together have this probability.",
        least=0,
        most=1,
        above=True,
    )
    repetition_penalty: float = param(
        1.0,
        "above 1 tokens of prompt and text become less likely.",
        least=0,
        most=100,
        above=True,
        limits="above 0, usually 1 to 1.5",
    )
    presence_penalty: float = param(
        0.0, "above 0 tokens of the text become less likely, once for all times they came.", least=-2, most=2
    )
    frequency_penalty: float = param(
        0.0, "above 0 tokens of the text become less likely, for each time they came.", least=-2, most=2
    )
    logit_bias: Mapping[int, float] | None = param(None, "what is added to the logits of tokens, by their ids.", hash=False)
    logprobs: int | None = param(
        None,
        "tell the log-probabilities of the text's tokens and of so many of the likeliest ones.",
        least=0,
        most=MAX_LOGPROBS,
    )

    def __post_init__(self) -> None:
        check(self)
        for token, bias in (self.logit_bias or {}).items():
            BIAS.check(f"the logit bias of token {token}", bias)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    @property
    def adjusts(self) -> bool:
        """Whether bias or penalties change the logits."""
        neutral = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) == (1.0, 0.0, 0.0)
        return bool(self.logit_bias) or not neutral


@dataclass(frozen=True)
class TextParams(Sampling):
    """How texts are written. What is None is the model's own choice. Raises BadRequest for what no model can do."""

    max_tokens: int | None = param(
        None,
        "tokens to write at most; the default is 256, or what the model still holds.",
        least=1,
        most=10**9,
        limits="1 or more",
    )
    strategy: Strategy = param(  # noqa: RUF009  a field
        "sample",
        "sample draws each token; greedy takes the likeliest; beam looks for the likeliest text; contrastive for a likely one "
        "that does not repeat itself.",
        kind=Strategy,
    )
    stop: str | Sequence[str] = param((), "end before this text; can be given several times.")
    seed: int | None = param(
        None,
        "the same seed writes the same text; without one, or with -1, it is drawn at random and reported.",
        least=-1,
        most=MAX_SEED,
        limits=f"0 to {MAX_SEED}, or -1 for a random one",
    )
    n: int = param(1, "texts to write.", least=1, most=MAX_SEQUENCES)
    beams: int = param(4, "texts that beam search keeps.", least=1, most=MAX_SEQUENCES)
    length_penalty: float = param(1.0, "of beam search: above 0 for longer texts, below for shorter ones.", least=-10, most=10)
    early_stopping: bool = param(False, "of beam search: end with the first texts that are finished.")
    regex: str | None = param(None, "a regular expression that the whole text matches.")
    json_schema: str | Mapping[str, Any] | None = param(
        None, "a JSON schema that the text follows, or the name of a .json file that holds it.", hash=False
    )
    prompt_logprobs: int | None = param(
        None,
        "tell the log-probabilities of the prompt's tokens too, from the second on, and of so many of the likeliest ones.",
        least=0,
        most=MAX_LOGPROBS,
    )
    lookup: bool = param(
        False, "guess ahead from what repeats; faster where a text copies from its prompt, and never different."
    )

    unset: frozenset[str] = field(default=frozenset(), compare=False)  # what the caller left open, for a model's recommendation

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.regex is not None and self.json_schema is not None:
            raise BadRequest("regex and json_schema are both given; a text follows one of them")
        if not all(isinstance(one, str) and one for one in self.stops):
            raise BadRequest(f"stop is {self.stop!r}; it can be a text that is not empty, or several")

    @property
    def stops(self) -> tuple[str, ...]:
        if isinstance(self.stop, str):
            return (self.stop,)
        return tuple(self.stop) if isinstance(self.stop, Sequence) else (self.stop,)

    @property
    def searches(self) -> bool:
        """Whether whole sequences are searched, rather than tokens drawn."""
        return self.strategy in SEARCHES

    @cached_property
    def sampling(self) -> Sampling:
        """How its tokens are drawn: texts with equal ones are drawn together."""
        said = {one.name: getattr(self, one.name) for one in fields(Sampling)}
        return Sampling(**said | ({"temperature": 0.0} if self.strategy == "greedy" else {}))
