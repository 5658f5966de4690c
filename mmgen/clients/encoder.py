"""Text encoders through the engine: texts in, vectors out. Part of the wiring; knows no store and no task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Request
from mmgen.models.encoders.prompts import Prompts, Side

if TYPE_CHECKING:
    import numpy as np


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

    def rows(self, texts: Sequence[str], side: Side = "", prompts: Prompts | None = None) -> Any:
        """What the runner reads: the texts' tokens, with the prompt of that side before each."""
        prompt = (prompts or self.prompts).of(side)
        if not hasattr(self.model, "prompts"):  # a plugin's, which knows none
            return self.model.tokenize(texts)
        return self.model.tokenize(texts, prompt, side)

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
        return np.stack(self.host.submit(self.runner, self.rows(texts, side, prompts), request))


def load(host: ModelHost, reference: str) -> EncoderClient:
    """The client of an encoder. A reference may end with a precision, as in `embedded:minilm#int8`."""
    runner, loader = f"encode:{reference}", registered(host.registry.encoders, "sentence-transformers")
    model: Any = host.open("encoder", reference, runners=[runner], loader=loader).model
    host.add_rows(runner, model, model.embed_rows, row_bytes=4 * model.dimension)
    return EncoderClient(host, runner, model)
