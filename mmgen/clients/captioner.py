"""Vision-language models through the engine: an image in, a text out. Part of the wiring."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mmgen import hub
from mmgen.engine.job import Request

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.runtime import Runtime


class CaptionerClient:
    """A model that writes what it sees. Owns the runner `caption:REFERENCE`."""

    def __init__(self, runtime: Runtime, reference: str) -> None:
        """`reference` may end with a precision, as in `FOLDER#bf16`."""
        from mmgen.runners.caption import CaptionModel, CaptionRunner

        runtime.set_threads()
        name, _, precision = reference.partition("#")
        folder = hub.resolve(name, kind="captioner")
        self.runtime, self.name, self.runner = runtime, reference, f"caption:{reference}"
        load = partial(CaptionModel.load, folder, device=runtime.device, name=reference, precision=precision)
        loaded = runtime.resident(f"captioner {reference}", [folder], load, [self.runner])
        runtime.engine.add_runner(self.runner, CaptionRunner(loaded.model))

    def write(self, image: Image, prompt: str = "", max_tokens: int = 50, request: Request | None = None) -> str:
        """What the model says of an RGB image."""
        from mmgen.runners.caption import CaptionRequest

        text: str = self.runtime.submit(self.runner, CaptionRequest(image, prompt, max_tokens), request)
        return text
