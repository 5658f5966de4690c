"""Text encoders through the engine: texts in, vectors out. Part of the wiring; knows no store and no task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Request
from mmgen.models.encoders.prompts import Prompts, Side
from mmgen.value_checks import tokens

if TYPE_CHECKING:
    import numpy as np

    from mmgen.models.tuning.workload import Workload

BATCH = 2**18
"""Characters that are tokenized at once."""


class EncoderClient:
    """An encoder whose passes are the engine's: mmgen.interfaces.Encoder."""

    def __init__(self, host: ModelHost, runner: str, model: Any) -> None:
        self.host, self.runner, self.model = host, runner, model
        self.name, self.dimension, self.max_tokens = model.name, model.dimension, model.max_tokens
        self.prompts: Prompts = getattr(model, "prompts", Prompts())

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self.model.token_spans(text)
        return spans

    def knows(self, text: str) -> bool:
        """Whether the model's vocabulary has the text's script; its vectors say nothing of other texts."""
        knows: Callable[[str], bool] | None = getattr(self.model, "knows", None)
        return knows is None or knows(text)

    def rows(
        self, texts: Sequence[str], side: Side = "", prompts: Prompts | None = None, request: Request | None = None
    ) -> list[Any]:
        """What the runner reads: the texts' tokens, with the prompt of that side before each.

        Raises as `request.check` does, between texts of about BATCH characters.
        """
        prompt = (prompts or self.prompts).of(side)
        told = (prompt, side) if hasattr(self.model, "prompts") else ()  # a plugin's knows none
        out: list[Any] = []
        for part in batches(texts):
            if request is not None:
                request.check()
            out += self.model.tokenize(part, *told)
        return out

    def check_length(self, texts: Sequence[str], request: Request | None = None) -> None:
        """Raises TooLong for a text that is surely more than the model reads, without reading much more of it."""
        check = request.check if request else lambda: None
        for text in texts:
            tokens(text, "a text", self.max_tokens, lambda piece: len(self.token_spans(piece)), check)

    def room(self, side: Side, prompts: Prompts | None = None) -> int:
        """Tokens of a text that fit beside its prompt and the special tokens."""
        prompt = (prompts or self.prompts).of(side)
        most: int = self.max_tokens
        return most - 2 - (len(self.token_spans(prompt)) if prompt else 0)

    def embed_text(
        self, texts: Sequence[str], request: Request | None = None, side: Side = "", prompts: Prompts | None = None
    ) -> np.ndarray:
        """Texts to (B, D) float32 vectors of unit length, in the texts' order.

        Args:
            side: "query" and "document" where one is to find the other; "" where texts are compared.
            prompts: those that a store was filled with; None: the model's own.
        """
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return np.stack(self.host.submit(self.runner, self.rows(texts, side, prompts, request), request))


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, about BATCH characters at once."""
    part, size = list[str](), 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= BATCH:
            yield part
            part, size = [], 0
    if part:
        yield part


def load(host: ModelHost, reference: str) -> EncoderClient:
    """The client of an encoder. A reference may end with a precision, as in `embedded:minilm#int8`."""
    runner, loader = f"encode:{reference}", registered(host.registry.encoders, "sentence-transformers")
    opened = host.open("encoder", reference, runners=[runner], loader=loader, workload=workload)
    model: Any = opened.model
    host.add_rows(runner, model, model.embed_rows, row_bytes=4 * model.dimension)
    return EncoderClient(host, runner, model)


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.text_encoders import EncoderWorkload

    return EncoderWorkload()
