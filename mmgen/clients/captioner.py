"""Vision-language models through the engine: an image in, a text out. Part of the wiring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmgen import hub
from mmgen.engine.job import Request

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.clients.host import ModelHost


def talks(reference: str) -> bool:
    """Whether a model is one that is talked to, token by token: then it is a `TextClient`'s, and this one's is not needed."""
    from mmgen.models.lm.chat_template import ChatTemplate
    from mmgen.models.transformers_backend import vision_language

    folder = hub.resolve(reference.partition("#")[0], kind="captioner")
    return vision_language.sees(folder) and bool(ChatTemplate.of(folder))


class CaptionerClient:
    """A model that writes what it sees. Owns the runner `caption:REFERENCE`."""

    def __init__(self, host: ModelHost, reference: str) -> None:
        """`reference` may end with a precision, as in `FOLDER#bf16`."""
        from mmgen.runners.caption import CaptionModel, CaptionRunner

        self.host, self.name, self.runner = host, reference, f"caption:{reference}"
        opened = host.open("captioner", reference, runners=[self.runner], loader=lambda _: CaptionModel.load)
        host.engine.add_runner(self.runner, CaptionRunner(opened.model))

    def write(self, image: Image, prompt: str = "", max_tokens: int = 50, request: Request | None = None) -> str:
        """What the model says of an RGB image."""
        from mmgen.runners.caption import CaptionRequest

        text: str = self.host.submit(self.runner, CaptionRequest(image, prompt, max_tokens), request)
        return text
