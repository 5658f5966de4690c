"""What A1111's clients ask about without naming it: the caller's drawings under way, and the model that was chosen."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from PIL.Image import Image

from mmgen.engine.job import Request
from mmgen.image_events import Preview, Progress

USERS = 1000
"""Whose choice of a model is remembered; the last ones."""


@dataclass
class Drawing:
    """One call of txt2img or img2img."""

    request: Request
    images: int  # to be drawn
    began: float = field(default_factory=time.time)  # seconds since 1970
    done: float = 0.0  # images, with parts of those under way
    step: int = 0  # of the image that is furthest
    steps: int = 0
    interrupted: bool = False
    preview: Preview | None = None
    _shares: dict[int, float] = field(default_factory=dict)

    def add(self, event: object) -> None:
        """An event of the pipeline."""
        if isinstance(event, Progress):
            self._shares[event.image] = event.step / event.of
            self.done, self.step, self.steps = sum(self._shares.values()), event.step, event.of
        elif isinstance(event, Preview):
            self.preview = event

    @property
    def progress(self) -> float:
        """0 to 1, below 1 until it ends."""
        return min(0.99, self.done / self.images)

    @property
    def eta(self) -> float:
        """Seconds that it will take, if it goes on as so far; 0 before the first step."""
        return (time.time() - self.began) * (1 / self.progress - 1) if self.progress else 0.0

    def image(self) -> Image | None:
        """What it would be by now."""
        return None if self.preview is None else self.preview.image


class Drawings:
    """All callers' drawings. Thread-safe."""

    def __init__(self) -> None:
        self._under_way: dict[str, list[Drawing]] = {}
        self._models: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, user: str, request: Request, images: int) -> Drawing:
        drawing = Drawing(request, images)
        with self._lock:
            self._under_way.setdefault(user, []).append(drawing)
        return drawing

    def end(self, user: str, drawing: Drawing) -> None:
        with self._lock:
            self._under_way[user].remove(drawing)
            if not self._under_way[user]:
                del self._under_way[user]

    def of(self, user: str) -> list[Drawing]:
        """Those under way, the oldest first."""
        with self._lock:
            return list(self._under_way.get(user, ()))

    def model(self, user: str) -> str | None:
        """The name that the user chose; None: the server's own."""
        return self._models.get(user)

    def choose(self, user: str, model: str) -> None:
        with self._lock:
            self._models[user] = model
            self._models.move_to_end(user)
            while len(self._models) > USERS:
                self._models.popitem(last=False)
