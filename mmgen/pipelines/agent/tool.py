"""What a tool of the assistant is, and what travels: calls, their results, and images that are shown."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.ingest import image_files
from mmgen.pipelines.streaming import Event

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.pipelines.rag.answer import Citation


@dataclass(frozen=True)
class AssistantCall:
    """A call of a tool."""

    id: str  # of the tool and its arguments: the same call has the same id
    tool: str
    arguments: Mapping[str, Any]
    asks: str = ""  # why the user is asked first; "": it runs at once

    @classmethod
    def of(cls, tool: str, arguments: Mapping[str, Any], asks: str = "") -> AssistantCall:
        text = json.dumps([tool, arguments], sort_keys=True, default=str)
        return cls(hashlib.sha256(text.encode()).hexdigest()[:16], tool, dict(arguments), asks)


@dataclass(frozen=True)
class ShownImage:
    """An image in a reply, as a file."""

    name: str
    kind: str  # image/png, image/webp
    data: str = field(repr=False)  # base64
    width: int
    height: int
    prompt: str = ""  # of an image that was drawn
    caption: str = ""  # of one that was found
    seed: int | None = None

    @classmethod
    def of(cls, file: bytes, name: str, **more: Any) -> ShownImage:
        """Raises UnreadableFile or TooLarge for what is no image that Pillow opens."""
        opened = image_files.decode(file, name)
        kind = {"JPEG": "image/jpeg", "WEBP": "image/webp"}.get(_format(file), "image/png")
        if kind == "image/png" and _format(file) != "PNG":
            out = io.BytesIO()
            opened.save(out, "PNG")
            file = out.getvalue()
        return cls(name, kind, base64.b64encode(file).decode(), *opened.size, **more)

    @property
    def bytes(self) -> bytes:
        return base64.b64decode(self.data)

    @property
    def image(self) -> Image:
        return image_files.decode(self.bytes, self.name)

    @property
    def url(self) -> str:
        return f"data:{self.kind};base64,{self.data}"


def _format(file: bytes) -> str:
    if file.startswith(b"\x89PNG"):
        return "PNG"
    return "JPEG" if file.startswith(b"\xff\xd8\xff") else "WEBP" if file[8:12] == b"WEBP" else ""


@dataclass(frozen=True)
class ToolProgress:
    """How far a call is: the value of a "progress" event."""

    call: str  # its id
    text: str
    done: int = 0
    of: int = 0  # 0: nobody knows


@dataclass(frozen=True)
class ToolResult:
    """What a call brought."""

    summary: str  # in a line, for the list of steps
    answer: str | None = None  # what the user is told, word for word; None: the language model says it
    text: str = field(default="", repr=False)  # what the language model may read of it
    trusted: bool = True  # False: `text` is somebody else's, and is data only
    images: Sequence[ShownImage] = field(default=(), repr=False)
    citations: Sequence[Citation] = ()
    passages: Sequence[str] = field(default=(), repr=False)  # the text of each citation's passage
    confidence: float | None = None
    abstained: bool = False


@dataclass
class TurnContext:
    """The turn that a tool works for."""

    said: str  # the user's last message
    before: list[Mapping[str, Any]]  # messages before it: role and content
    request: Request
    image: Any = None  # the conversation's last image, as image_io reads it
    prompt: str = ""  # with which that image was drawn


class AssistantTool(ABC):
    """A tool: a name, what it takes, and its work."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # JSON schema of its arguments
    examples: Sequence[tuple[str, Mapping[str, Any]]] = ()  # requests and their arguments, which the language model is shown
    filled_note = ""  # what the user is told where the language model filled the arguments in
    acts = True  # whether it writes, sends or costs: chosen by a model that has read others' text, it asks first

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        """The arguments as they stand in the user's words; None: the language model fills them in."""
        return None

    def asks(self, arguments: Mapping[str, Any], turn: TurnContext) -> str:
        """Why the user has to be asked before; "" where nothing is written or sent."""
        return ""

    @abstractmethod
    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        """Events, and at last the result. Raises MmgenError, which is told as the call's error."""

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Lets go of what it holds."""
