"""Vision-language models (BLIP, GIT, LLaVA, Qwen-VL, ...), run by transformers' own generate: one request a quantum.

Other work waits until a caption is written, but for answers that are streamed. Knows what such a model is told and gives back;
not how it reads images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from mmgen.engine.job import Job
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.diffusion.denoiser import PRECISIONS
from mmgen.models.transformers_backend import processor
from mmgen.runners.exclusive import ExclusiveRunner, check
from mmgen.runners.preemption_hooks import Pause, pause_between

DESCRIBE = "Describe this image."
"""What a model that is talked to is asked where the caller says nothing."""


@dataclass(frozen=True, eq=False)
class CaptionRequest:
    """A job's payload. Its result: the text."""

    image: Image  # RGB
    prompt: str = ""  # what to say, or how the caption begins
    max_tokens: int = 50


class CaptionModel:
    """A checkpoint and its processor, on one device."""

    def __init__(self, model: Any, processor: Any, images: Any, name: str) -> None:
        """`images`: the processor's own for images, or the one that stands beside a tokenizer."""
        self.model, self.processor, self.images, self.name = model, processor, images, name

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> CaptionModel:
        """From a transformers folder. Raises BadWeights, in one line, for another kind of model or incomplete weights."""
        from transformers import AutoImageProcessor, AutoModelForImageTextToText

        if precision not in PRECISIONS:
            raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
        kind = read_json(folder / "config.json").get("model_type", "unknown")
        if kind not in _kinds():
            raise BadWeights(f"{folder} is of type {kind}, which captions no images; take BLIP, GIT, Qwen-VL or the like")
        model = pretrained.load(AutoModelForImageTextToText, folder, device, PRECISIONS[precision])
        read = processor.load(folder)
        try:
            with pretrained.quiet():
                images = getattr(read, "image_processor", None) or AutoImageProcessor.from_pretrained(
                    folder, local_files_only=True
                )
        except Exception as why:  # the library raises OSError, ValueError, KeyError, ImportError ...
            raise BadWeights(f"{folder} has no processor that can be read ({pretrained.brief(why)}); fetch it again") from why
        return cls(model, read, images, name or folder.name)

    @torch.inference_mode()
    def write(self, request: CaptionRequest, stop: Callable[[], None]) -> str:
        """The likeliest text, token by token (greedy); `stop()` after each may raise to end it."""
        inputs = self._inputs(request)
        with pretrained.quiet():
            out = self.model.generate(
                **inputs, max_new_tokens=request.max_tokens, do_sample=False, num_beams=1, stopping_criteria=[_Asks(stop)]
            )[0].tolist()
        said = inputs["input_ids"][0].tolist() if self.talks else []
        if said and out[: len(said)] == said:  # most models repeat what they were told
            out = out[len(said) :]
        tokenizer = getattr(self.processor, "tokenizer", self.processor)
        return " ".join(tokenizer.decode(out, skip_special_tokens=True).split())

    @property
    def talks(self) -> bool:
        """Whether it answers a message, instead of going on from how a caption begins."""
        return bool(getattr(self.processor, "chat_template", None))

    def _inputs(self, request: CaptionRequest) -> dict[str, Any]:
        if not hasattr(self.processor, "image_processor"):
            if request.prompt:
                raise BadRequest(f"{self.name} takes no prompt; leave it out")
            inputs = self.images(images=request.image, return_tensors="pt")
        elif self.talks:
            content = [{"type": "image"}, {"type": "text", "text": request.prompt or DESCRIBE}]
            text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            inputs = self.processor(images=request.image, text=text, return_tensors="pt")
        else:
            told = {"text": request.prompt} if request.prompt else {}
            inputs = self.processor(images=request.image, return_tensors="pt", **told)
            if told and self.model.config.model_type == "git":  # its tokenizer ends the text, which is to go on
                inputs["input_ids"], inputs["attention_mask"] = inputs["input_ids"][:, :-1], inputs["attention_mask"][:, :-1]
        dtype, inputs = self.model.dtype, inputs.to(self.model.device)
        return {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}


class _Asks:
    """transformers' StoppingCriteria, that never stops but by an error."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self.stop()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


class CaptionRunner(ExclusiveRunner):
    """A cancelled or late request ends at its next token."""

    work = "vision"

    def __init__(self, model: CaptionModel) -> None:
        self.model = model

    def pause_with(self, pause: Pause) -> None:
        pause_between([self.model.model], pause)

    def serve(self, job: Job) -> str:
        return self.model.write(job.payload, partial(check, job, "while writing"))


def _kinds() -> set[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
