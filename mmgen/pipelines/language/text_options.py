"""How a text is to be written: what a caller can say, checked before a model is loaded. Knows no model's own limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmgen.errors import BadRequest
from mmgen.pipelines.image import image_checks

if TYPE_CHECKING:
    from mmgen.models.lm.sampling import Sampling

Strategy = Literal["sample", "greedy", "beam", "contrastive"]


@dataclass(frozen=True)
class TextOptions:
    """How a text is to be written. What is None is the model's or the pipeline's choice."""

    max_tokens: int | None = None
    strategy: Strategy = "sample"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None
    stop: str | Sequence[str] = ()
    seed: int | None = None
    n: int = 1
    beams: int = 4
    length_penalty: float = 1.0
    early_stopping: bool = False
    logprobs: int | None = None
    regex: str | None = None
    json_schema: str | Mapping[str, Any] | None = None
    lookup: bool = False

    def __post_init__(self) -> None:
        """Raises BadRequest for what no model can do."""
        if self.strategy not in get_args(Strategy):
            raise BadRequest(f"strategy is {self.strategy!r}; it can be {', '.join(get_args(Strategy))}")
        image_checks.number("max_tokens", self.max_tokens, 1, 10**9, "1 or more")
        image_checks.number("seed", self.seed, 0, image_checks.LARGEST_SEED)
        image_checks.number("n", self.n, 1, 64)
        image_checks.number("beams", self.beams, 1, 64)
        image_checks.number("length_penalty", self.length_penalty, -10, 10)
        if self.regex is not None and self.json_schema is not None:
            raise BadRequest("regex and json_schema are both given; a text follows one of them")
        if not all(isinstance(one, str) and one for one in self.stops):
            raise BadRequest(f"stop is {self.stop!r}; it can be a text that is not empty, or several")
        _ = self.sampling

    @property
    def stops(self) -> tuple[str, ...]:
        if isinstance(self.stop, str):
            return (self.stop,)
        return tuple(self.stop) if isinstance(self.stop, Sequence) else (self.stop,)

    @property
    def sampling(self) -> Sampling:
        from mmgen.models.lm.sampling import Sampling

        bias = tuple(sorted((self.logit_bias or {}).items()))
        return Sampling(
            0.0 if self.strategy == "greedy" else self.temperature, self.top_k, self.top_p, self.min_p, self.typical_p,
            self.repetition_penalty, self.presence_penalty, self.frequency_penalty, bias, self.logprobs,
        )  # fmt: skip
