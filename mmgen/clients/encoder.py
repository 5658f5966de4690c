"""Text encoders through the engine: texts in, vectors out. Part of the wiring; knows no store and no task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mmgen import hub
from mmgen.engine.job import Request

if TYPE_CHECKING:
    import numpy as np

    from mmgen.runtime import Runtime


class EncoderClient:
    """An encoder whose passes are the engine's: mmgen.interfaces.Encoder."""

    def __init__(self, runtime: Runtime, runner: str, model: Any) -> None:
        self.runtime, self.runner, self.model = runtime, runner, model
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
        return np.stack(self.runtime.submit(self.runner, rows, request))


def load(runtime: Runtime, reference: str) -> EncoderClient:
    """The client of an encoder. A reference may end with a precision, as in `embedded:minilm#int8`."""
    from mmgen.runners.token_batch import TokenBatchRunner

    runtime.set_threads()
    name, _, precision = reference.partition("#")
    folder = hub.resolve(name, kind="encoder")
    table = runtime.registry.encoders
    loader = table.get(runtime.architecture(folder, table, "sentence-transformers"))
    runner = f"encode:{reference}"
    loaded = partial(loader, folder, device=runtime.device, name=reference, precision=precision)
    model: Any = runtime.resident(f"encoder {reference}", [folder], loaded, [runner]).model
    budget = 768 if runtime.device == "cpu" else 16_384  # tokens: activations that stay in a core's cache
    padding = 1.15 if getattr(model, "pads", True) else float("inf")
    rows = TokenBatchRunner(model.embed_rows, budget=budget, row_bytes=4 * model.dimension, padding=padding)
    runtime.engine.add_runner(runner, rows)
    return EncoderClient(runtime, runner, model)
