"""Words put into a language model's mouth: what comes of them can be told exactly."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mmgen.runners.generation import TextRequest

Say = Callable[[str], "list[TextRequest]"]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """`say(text)`: what every model writes from now on. Returns what they are asked."""
    from mmgen.clients.text import TextClient
    from mmgen.runners.generation import FinishedText, GenerationResult, TextPiece

    def put(text: str) -> "list[TextRequest]":
        asked: list[TextRequest] = []

        def write(client: TextClient, wanted: "TextRequest", request: Any, seed: int) -> Iterator[TextPiece | GenerationResult]:
            asked.append(wanted)
            for word in text.split(" "):
                yield TextPiece(0, word + " ")
            yield GenerationResult((FinishedText(text, (), "stop"),), len(wanted.prompt))

        monkeypatch.setattr(TextClient, "write", write)
        return asked

    return put
