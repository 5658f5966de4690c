"""Drawings under way, as those ask about them who do not name them."""

from typing import Any

from mmgen.image_events import Progress
from mmgen.serve.dialects import drawings as module
from mmgen.serve.dialects.drawings import Drawings


def test_progress_of_ones_own(monkeypatch: Any) -> None:
    found, request = Drawings(), object()
    drawing = found.begin("ann", request, 2)  # type: ignore[arg-type]
    assert found.of("ann") == [drawing] and not found.of("bob") and drawing.eta == drawing.progress == 0
    drawing.add(Progress(0, 5, 10))
    drawing.add(Progress(1, 1, 10))
    assert (drawing.progress, drawing.step, drawing.steps) == (0.3, 1, 10) and drawing.eta >= 0 and drawing.image() is None
    found.end("ann", drawing)
    assert not found.of("ann")
    monkeypatch.setattr(module, "USERS", 1)
    found.choose("ann", "sd")
    found.choose("bob", "sdxl")
    assert (found.model("ann"), found.model("bob")) == (None, "sdxl")
