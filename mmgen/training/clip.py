"""Recipe of a CLIP model of emoji: a vision tower learns the space of a frozen sentence encoder; Zhai et al. 2022 (LiT).

Pictures of a batch that show the same thing belong to each other's captions too (Khosla et al. 2020): a thing is drawn by
several vendors, and what counts is what is drawn, not how.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.config import UserPath
from mmgen.errors import BadRequest
from mmgen.models import clip_files
from mmgen.models.clip import Clip, ClipConfig
from mmgen.models.encoder import SentenceEncoder
from mmgen.models.preprocess import ImagePreprocess
from mmgen.models.vision import VisionConfig
from mmgen.training import captions, checkpoint, loop, optimizers
from mmgen.training.judge import Views
from mmgen.training.loop import LoopRecipe
from mmgen.training.metrics import Record
from mmgen.training.pictures import SIDE, Pictures

LEAST, MOST = 1.0, 100.0
"""Of the inverse temperature."""


class ClipRecipe(LoopRecipe):
    """configs/train/emoji-clip-*.yaml"""

    data: UserPath | None = None  # folder that `mmgen data emoji` built
    vendors: tuple[str, ...] = ("noto", "twemoji", "fluent")  # whose drawings are learned
    held_out: str = "fluent-flat"  # whose drawings measure it; among `vendors` where nobody's are left out
    leave_out: tuple[str, ...] = ("flags",)  # groups
    texts: str = "embedded:minilm"  # the frozen sentence encoder
    vision: VisionConfig
    dimension: int = Field(256, ge=1)
    phrasings: int = Field(16, ge=1)  # captions of a thing, its name first
    text_noise: float = Field(0.02, ge=0)  # added to a caption's vector, so that its neighbours mean the same


@dataclass(frozen=True)
class Batch:
    """Pictures, and a caption of every thing there is."""

    pixels: Tensor  # (B, 3, 64, 64) in [-1, 1]
    texts: Tensor  # (C, d) sentence vectors
    things: Tensor  # (B,) which of them is shown

    def to(self, device: Any) -> Batch:
        return replace(self, **{one.name: getattr(self, one.name).to(device) for one in fields(self)})


class Contrast(nn.Module):
    """Cross-entropy of every picture over the captions of all things, and of its caption over the pictures of the batch.

    Sentence vectors cost next to nothing, so a picture is told from all things at once instead of those in its batch.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images, texts = self.clip.embed_images(batch.pixels).float(), self.clip.embed_texts(batch.texts).float()
        scale = self.clip.logit_scale.exp().clamp(LEAST, MOST)
        logits = scale * images @ texts.T  # (B, C)
        same = (batch.things[:, None] == batch.things[None]).float()  # pictures of one thing are right alike
        seen = F.cross_entropy(logits, batch.things)
        said = F.cross_entropy(logits.T[batch.things], same / same.sum(1, keepdim=True))
        return {"loss": (seen + said) / 2, "images": seen.detach(), "texts": said.detach(), "scale": scale.detach()}


class Run:
    """A `Task`: all that a run is made of, but for its devices."""

    ylabel = "nats"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: ClipRecipe) -> None:
        if recipe.data is None:
            raise BadRequest("data is not set; give the folder that `mmgen data emoji` built")
        self.recipe = recipe
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.pictures = Pictures.load(recipe.data, recipe.vendors, recipe.leave_out)
        self.views = Views(self.pictures)
        self.vectors = caption_vectors(self.pictures, recipe)  # (C, phrasings, d)
        self.judged = Judged(Pictures.load(recipe.data, (recipe.held_out,), recipe.leave_out), recipe.texts)
        torch.manual_seed(recipe.seed)
        self.model = Clip(ClipConfig(recipe.vision, recipe.dimension, text_width=self.vectors.shape[2]))
        self.loss = Contrast(self.model)
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[Batch, float]]:
        """A process compares with its own part of the batch alone."""
        recipe, count = self.recipe, self.recipe.batch // processes
        rng = np.random.default_rng([recipe.seed, 5, step, process])
        things = rng.integers(0, len(self.pictures.names), count)
        pixels = recoloured(self.views.hard(things, rng), rng)
        everything = len(self.pictures.names)
        texts = self.vectors[torch.arange(everything), torch.from_numpy(rng.integers(0, recipe.phrasings, everything))]
        noise = torch.from_numpy(rng.standard_normal(texts.shape, dtype=np.float32))
        return [(Batch(pixels, texts + recipe.text_noise * noise, torch.from_numpy(things)), 1.0)]

    def validate(self, step: int, record: Record, progress: dict[str, Any]) -> None:
        found = self.judged.recall(self.model)
        record.note(step, found)
        if -found["validation R@5"] < progress["best"]:
            progress["best"] = -found["validation R@5"]
            checkpoint.replaced(self.recipe.out / "model", self.export)

    def export(self, folder: Path) -> None:
        clip_files.save(self.model, folder, ImagePreprocess(size=(SIDE, SIDE)), self.recipe.texts, compact=True)


class Judged:
    """Clean drawings and names that recall is measured on."""

    def __init__(self, pictures: Pictures, texts: str) -> None:
        thing, vendor = np.nonzero(pictures.table >= 0)
        self.pixels = Views(pictures).clean(thing, vendor)  # (N, 3, 64, 64)
        names = [captions.plain(pictures.names[n]) for n in thing]
        self.texts = sentence_vectors(names, texts)

    def recall(self, clip: Clip) -> dict[str, float]:
        """R@1 and R@5 of text to image, and R@5 of image to text."""
        images = torch.cat([clip.embed_images(part.to(clip.device)).float() for part in self.pixels.split(128)])
        scores = clip.embed_texts(self.texts.to(clip.device)).float() @ images.T  # (N texts, N pictures)
        own = scores.diagonal()
        seen, said = (scores > own[:, None]).sum(1), (scores > own[None]).sum(0)
        values = {"validation R@1": seen < 1, "validation R@5": seen < 5, "validation image to text R@5": said < 5}
        return {name: float(hit.float().mean()) for name, hit in values.items()}


def caption_vectors(pictures: Pictures, recipe: ClipRecipe) -> Tensor:
    """(C, phrasings, d): the name, and captions of name and keywords as the denoiser's recipe writes them."""
    mix = captions.Mix(style=0, background=0, keywords=0.4, more_keywords=0.25)
    rng = np.random.default_rng([recipe.seed, 6])
    written: list[str] = []
    for thing, name in enumerate(pictures.names):
        written.append(captions.plain(name))
        for _ in range(recipe.phrasings - 1):
            written.append(captions.write(pictures, 0, thing, thing, captions.UNNAMED, captions.UNNAMED, mix, rng))
    distinct = list(dict.fromkeys(written))
    vectors = sentence_vectors(distinct, recipe.texts)
    at = {text: number for number, text in enumerate(distinct)}
    return vectors[[at[text] for text in written]].view(len(pictures.names), recipe.phrasings, -1)


def sentence_vectors(texts: list[str], reference: str) -> Tensor:
    """(N, d), unit length"""
    return torch.from_numpy(SentenceEncoder.load(hub.resolve(reference)).embed_text(texts))


def recoloured(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Other styles of colour, (B, 3, S, S) in [-1, 1]: channels mixed a little, some pictures flat, some grey."""
    count = len(images)
    mixing = np.eye(3) + rng.normal(0, 0.12, (count, 3, 3))
    grey = rng.random(count) < 0.1
    mixing[grey] = np.array([0.299, 0.587, 0.114])
    mixed = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mixing.astype(np.float32)), images)
    steps = torch.from_numpy(np.where(rng.random(count) < 0.3, rng.integers(3, 8, count), 256).astype(np.float32))
    steps = steps[:, None, None, None] / 2
    return ((mixed * steps).round() / steps).clamp(-1, 1)


def train(recipe: ClipRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains, or goes on training; True when the run is whole. Writes metrics.jsonl, loss.png, checkpoints and, whenever recall
    is the highest so far, `out/model`."""
    from accelerate import Accelerator

    accelerator = Accelerator(mixed_precision=recipe.mixed_precision)
    task = Run(recipe)
    return loop.run(recipe, task, Record(recipe.out, recipe.steps, unit="pictures"), accelerator, stop_after_minutes)
