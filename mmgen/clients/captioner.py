"""Vision-language models through the engine: an image in, a text out. Part of the wiring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmgen import hub
from mmgen.engine.job import Request

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.clients.host import ModelHost


TASKS = {"florence2": "<CAPTION>", "paligemma": "caption en"}
"""What types without a chat template were trained to be told."""


def question(reference: str) -> str:
    """What a model is asked where the caller says nothing, if it is one that is talked to, token by token: then it is a
    `TextClient`'s, and this one's is not needed. "": it is none."""
    from mmgen.models.checkpoints.safetensors_io import read_json
    from mmgen.models.lm.chat_template import ChatTemplate
    from mmgen.models.transformers_backend import vision_language
    from mmgen.runners.caption import DESCRIBE

    folder = hub.resolve(reference.partition("#")[0], kind="captioner")
    if not vision_language.sees(folder):
        return ""
    return DESCRIBE if ChatTemplate.of(folder) else TASKS.get(str(read_json(folder / "config.json").get("model_type")), "")


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
