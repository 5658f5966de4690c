"""Text encoders through the engine: texts in, vectors out. Part of the wiring; knows no store and no task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Request

if TYPE_CHECKING:
    import numpy as np


class EncoderClient:
    """An encoder whose passes are the engine's: mmgen.interfaces.Encoder."""

    def __init__(self, host: ModelHost, runner: str, model: Any) -> None:
        self.host, self.runner, self.model = host, runner, model
        self.name, self.dimension, self.max_tokens = model.name, model.dimension, model.max_tokens

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self.model.token_spans(text)
        return spans

    def embed_text(self, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        """Texts to (B, D) float32 vectors of unit length, in the texts' order."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = self.model.tokenize(texts)
        return np.stack(self.host.submit(self.runner, rows, request))


def load(host: ModelHost, reference: str) -> EncoderClient:
    """The client of an encoder. A reference may end with a precision, as in `embedded:minilm#int8`."""
    from mmgen.runners.token_batch import TokenBatchRunner

    runner, loader = f"encode:{reference}", registered(host.registry.encoders, "sentence-transformers")
    model: Any = host.open("encoder", reference, runners=[runner], loader=loader).model
    budget = 768 if host.device == "cpu" else 16_384  # tokens: activations that stay in a core's cache
    padding = 1.15 if getattr(model, "pads", True) else float("inf")
    rows = TokenBatchRunner(model.embed_rows, budget=budget, row_bytes=4 * model.dimension, padding=padding)
    host.engine.add_runner(runner, rows)
    return EncoderClient(host, runner, model)
