"""Models that see through the engine: images and texts in, vectors and labels out. Part of the wiring.

Knows models, runners and jobs; not tasks, files or stores. Images are decoded and prepared in threads, ahead of the engine.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    from mmgen.engine.job import Handle
    from mmgen.interfaces import ImageEncoder
    from mmgen.models.tuning.workload import Workload
    from mmgen.models.vision.image_model import ImageRow

QUANTUM = 1.7e10
"""Weights times tokens of a pass on a CPU: two tenths of a second on two cores, and nearly as quick an image as any more."""
AHEAD = 4
"""Jobs of one call under way at once, and about as many images of each prepared before their turn."""


class ImageEncoderClient:
    """A model that sees, whose passes are the engine's. Owns the runners `see:KEY`, `classify:KEY` and `read-text:KEY`."""

    def __init__(self, host: ModelHost, key: str, model: Any) -> None:
        """`key`: a reference, which may end with a precision as in `FOLDER#bf16`; `model`: what `load_model` gives for it.

        Raises BadRequest for an image encoder, brought by a plugin, that only scores.
        """
        from mmgen.runners.token_batch import TokenBatchRunner

        if not hasattr(model, "embed_image_rows"):
            raise BadRequest(f"{key} only says how well images show texts; take a model that gives vectors, such as CLIP")
        self.host, self.model = host, model
        self.name, self.dimension, self.labels = model.name, model.dimension, tuple(model.labels)
        self.reads_texts = hasattr(model, "embed_rows")
        self.see, self.sort, self.read = f"see:{key}", f"classify:{key}", f"read-text:{key}"
        cpu, vector = host.device == "cpu", 4 * model.dimension
        budget = _budget(model.weights) if cpu else 16_384
        self.chunk = max(1, budget // model.config.tokens)  # images a pass
        rows = TokenBatchRunner(model.embed_image_rows, budget=budget, row_bytes=vector, padding=1.0, work="vision")
        host.engine.add_runner(self.see, rows)
        if self.labels:
            classify, size = model.classify_image_rows, 4 * len(self.labels)
            rows = TokenBatchRunner(classify, budget=budget, row_bytes=size, padding=1.0, work="vision")
            host.engine.add_runner(self.sort, rows)
        if self.reads_texts:
            budget = _budget(model.text_weights) if cpu else 16_384
            rows = TokenBatchRunner(model.embed_rows, budget=budget, row_bytes=vector, padding=float("inf"))
            host.engine.add_runner(self.read, rows)

    def embed_images(self, images: Iterable[Image] | Tensor, request: Request | None = None) -> np.ndarray:
        """Images, decoded here where they are not yet, or (B, 3, H, W) in [-1, 1] -> (B, E) float32, unit length."""
        return self._through(self.see, images, self.dimension, request)

    def classify(self, images: Iterable[Image] | Tensor, request: Request | None = None) -> np.ndarray:
        """Images -> (B, labels) logits of the checkpoint's own labels. Raises BadRequest where it has none."""
        if not self.labels:
            raise BadRequest(f"{self.name} has no labels; take a checkpoint with a classifier, or CLIP with labels of your own")
        return self._through(self.sort, images, len(self.labels), request)

    def embed_texts(self, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        """(B, E) float32, unit length. Raises BadRequest where the model reads no texts."""
        import numpy as np

        if not self.reads_texts:
            raise BadRequest(f"{self.name} has no text encoder; take a dual encoder such as CLIP or SigLIP")
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return np.stack(self.host.submit(self.read, self.model.tokenize(texts), request))

    def logits(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Vectors (B, E), (C, E) -> (B, C): see `TwoTowers.logits`."""
        weighed: np.ndarray = self.model.logits(images, texts)
        return weighed

    @property
    def independent(self) -> bool:
        """Whether logits are judged one by one, by a sigmoid, and not against each other."""
        return bool(self.model.independent)

    def score(self, images: Sequence[Image] | Tensor, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        """The cosine of every image and its text -> (B,)"""
        cosines: np.ndarray = (self.embed_images(images, request) * self.embed_texts(texts, request)).sum(1)
        return cosines

    def _through(self, runner: str, images: Iterable[Image] | Tensor, size: int, request: Request | None) -> np.ndarray:
        """Chunk by chunk: while the engine is at one, the next are prepared."""
        import numpy as np

        request, engine = request or Request.new(), self.host.engine
        handles: deque[Handle] = deque()
        out: list[np.ndarray] = []
        try:
            for rows in self._chunks(images):
                if len(handles) == AHEAD:
                    out.extend(handles.popleft().result())
                handles.append(engine.submit(Job(runner, rows, request)))
            while handles:
                out.extend(handles.popleft().result())
        except BaseException:
            request.cancel()
            raise
        return np.stack(out) if out else np.empty((0, size), dtype=np.float32)

    def _chunks(self, images: Iterable[Image] | Tensor) -> Iterator[list[ImageRow]]:
        """Rows of one pass each, in order; so many images are open at once, however many there are."""
        from torch import Tensor

        from mmgen.models.vision.preprocess import to_images

        waiting: deque[Future[ImageRow]] = deque()
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "mmgen-images") as threads:
            try:
                for image in to_images(images) if isinstance(images, Tensor) else images:
                    waiting.append(threads.submit(self.model.row, image))
                    if len(waiting) == AHEAD * self.chunk:
                        yield [waiting.popleft().result() for _ in range(self.chunk)]
                while waiting:
                    yield [waiting.popleft().result() for _ in range(min(self.chunk, len(waiting)))]
            finally:
                threads.shutdown(cancel_futures=True)


def _budget(weights: int) -> int:
    """Tokens of a pass through so many weights."""
    return max(1, int(QUANTUM / weights))


def load_model(host: ModelHost, reference: str) -> ImageEncoder:
    """The model itself, pinned: `best_of` calls it without a runner."""
    runners = [f"see:{reference}", f"classify:{reference}", f"read-text:{reference}"]
    loader = registered(host.registry.image_encoders, "clip")
    opened = host.open("image encoder", reference, runners=runners, loader=loader, pinned=True, workload=workload)
    model: ImageEncoder = opened.model
    return model


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.image_encoders import VisionWorkload

    return VisionWorkload()
