"""Cross-encoders through the engine: a query and texts in, scores out. Part of the wiring; knows no store and no task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmgen.clients.encoder import batches
from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Request

if TYPE_CHECKING:
    import numpy as np

    from mmgen.models.tuning.workload import Workload


class CrossEncoderClient:
    """A cross-encoder whose passes are the engine's."""

    def __init__(self, host: ModelHost, reference: str, model: Any) -> None:
        self.host, self.reference, self.model = host, reference, model
        self.name, self.share = model.name, float(getattr(model, "share", 1.0))

    def score(self, query: str, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        """Relevance of every text to the query -> (N,) float32, higher is more relevant; of two models not comparable."""
        return self.measured(query, texts, request)[0]

    def measured(self, query: str, texts: Sequence[str], request: Request | None = None) -> tuple[np.ndarray, int]:
        """`score`, and how many tokens were read for it."""
        import numpy as np

        pairs: list[Any] = []
        for part in batches(texts):
            if request is not None:
                request.check()
            pairs += self.model.pairs(query, part)
        scores = self.host.submit(f"rerank:{self.reference}", pairs, request) if pairs else []
        return np.array(scores, dtype=np.float32), sum(map(len, pairs))


def load(host: ModelHost, reference: str) -> CrossEncoderClient:
    """The client of a cross-encoder. A reference may end with a precision, as in `embedded:rerank#int8`."""
    runner, loader = f"rerank:{reference}", registered(host.registry.cross_encoders, "cross-encoder")
    model: Any = host.open("cross-encoder", reference, runners=[runner], loader=loader, workload=workload).model
    host.add_rows(runner, model, model.score_rows, row_bytes=4)
    return CrossEncoderClient(host, reference, model)


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.text_encoders import CrossEncoderWorkload

    return CrossEncoderWorkload()
