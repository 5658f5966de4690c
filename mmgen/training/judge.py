"""A small picture encoder that says which thing a picture shows: trained apart from the denoiser, to measure it.

It learns from strongly changed views (background, shift, scale, blur, noise) and compares by cosine with the clean drawings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen.config import Config, UserPath
from mmgen.errors import BadRequest
from mmgen.models import weights
from mmgen.training import views
from mmgen.training.painter import Augment, Painter
from mmgen.training.pictures import COLOURS, SIDE, Pictures
from mmgen.training.prompts import retrieval_prompts

SHARPNESS = 20.0  # of the softmax over cosines


class JudgeRecipe(Config):
    """configs/train/judge.yaml"""

    data: UserPath | None = None  # folder that `mmgen data emoji` built
    out: UserPath = Path("runs/judge")
    vendors: tuple[str, ...] = ()  # empty: all
    leave_out: tuple[str, ...] = ()  # groups
    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = 0.05
    width: int = 32
    dimension: int = 128
    seed: int = 0
    device: str = "cpu"


class Judge(nn.Module):
    """Four strided convolutions and a projection."""

    def __init__(self, width: int = 32, dimension: int = 128) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 4 * width, 6 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.AvgPool2d(2))
        self.project = nn.Linear(sizes[-1] * 4, dimension)
        self.shape = {"width": width, "dimension": dimension}

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1], any S -> (B, D), unit length."""
        if images.shape[-1] != SIDE:
            images = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=images.shape[-1] > SIDE)
        return F.normalize(self.project(self.layers(images).flatten(1)), dim=-1)  # (B, 6W, 4, 4) -> (B, 6W * 4) -> (B, D)


class Views:
    """Single things as the judge trains on them: on any background, moved, scaled, mirrored, blurred and with noise."""

    def __init__(self, pictures: Pictures, device: str = "cpu") -> None:
        self.pictures = pictures
        self.changed = Painter(pictures, augment=Augment(scale=0.8, smallest=0.6), device=device)

    def clean(self, thing: np.ndarray, vendor: np.ndarray) -> Tensor:
        """(B,) things by vendors -> (B, 3, 64, 64), as drawn, on white."""
        return views.clean(self.pictures, thing, vendor)

    def hard(self, thing: np.ndarray, rng: np.random.Generator) -> Tensor:
        """(B,) things by whatever vendor -> (B, 3, 64, 64), much changed."""
        drawn = rng.integers(0, len(COLOURS), len(thing))
        background = np.where(self.pictures.clashes[thing, drawn], 0, drawn)
        single, any_vendor = np.zeros(len(thing), dtype=int), np.full(len(thing), -1)
        images = self.changed.draw(single, thing, thing, any_vendor, background, rng)
        return views.distort(images, rng)


@dataclass
class Gallery:
    """The clean drawings of some things, embedded."""

    things: Tensor  # (G,) of each drawing
    vectors: Tensor  # (G, D)

    @classmethod
    @torch.inference_mode()
    def of(cls, judge: Judge, pictures: Pictures, things: Sequence[int]) -> Gallery:
        number, vendor = np.nonzero(pictures.table[list(things)] >= 0)
        thing = np.array(things)[number]
        device = judge.project.weight.device
        images = Views(pictures).clean(thing, vendor)
        vectors = torch.cat([judge(part.to(device)) for part in images.split(256)])
        return cls(torch.from_numpy(thing).to(device), vectors)

    def scores(self, vectors: Tensor, things: Tensor) -> Tensor:
        """(B, D) and (C,) candidates -> (B, C): the cosine with the nearest drawing of each, whoever drew it."""
        cosines = vectors @ self.vectors.T  # (B, G)
        return torch.stack([cosines[:, self.things == thing].amax(1) for thing in things], dim=1)

    def ranks(self, vectors: Tensor, wanted: Tensor, things: Tensor) -> Tensor:
        """(B,) places of the wanted things among the (C,) candidates, from 0; R@k is the share below k."""
        scores = self.scores(vectors, things)
        own = scores.gather(1, (things[None] == wanted[:, None]).int().argmax(1, keepdim=True))
        return (scores > own).sum(1)


def train(recipe: JudgeRecipe) -> Path:
    """Trains from scratch and writes `out/model.safetensors` and `out/config.json`, the latter with its own accuracy."""
    if recipe.data is None:
        raise BadRequest("data is not set; give the folder that `mmgen data emoji` built")
    pictures = Pictures.load(recipe.data, recipe.vendors, recipe.leave_out)
    torch.manual_seed(recipe.seed)
    drawn, things = Views(pictures, recipe.device), len(pictures.names)
    judge = Judge(recipe.width, recipe.dimension).to(recipe.device)
    proxies = nn.Parameter(F.normalize(torch.randn(things, recipe.dimension, device=recipe.device), dim=-1))
    learned: list[dict[str, Any]] = [{"params": judge.parameters()}, {"params": [proxies], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(learned, recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps + 1, pct_start=0.1)
    recipe.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (recipe.out / "metrics.jsonl").open("w") as log:
        for step in range(recipe.steps):
            rng = np.random.default_rng([recipe.seed, 3, step])
            thing = rng.integers(0, things, recipe.batch)
            logits = SHARPNESS * judge(drawn.hard(thing, rng)) @ F.normalize(proxies, dim=-1).T
            loss = F.cross_entropy(logits, torch.from_numpy(thing).to(logits.device), label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % 50 == 0:
                row = {"step": step + 1, "loss": round(loss.item(), 4), "seconds": round(time.monotonic() - began, 1)}
                log.write(json.dumps(row) + "\n")
                log.flush()
    save(judge, recipe.out, {"accuracy": accuracy(judge, pictures), "recipe": recipe.model_dump(mode="json")})
    return recipe.out


@torch.inference_mode()
def accuracy(judge: Judge, pictures: Pictures, count: int = 1000) -> dict[str, float]:
    """On changed views that training did not draw: among the things of the retrieval prompts, and among all."""
    judge.eval()
    device = judge.project.weight.device
    rng = np.random.default_rng([0, 4])
    everything = range(len(pictures.names))
    gallery = Gallery.of(judge, pictures, everything)
    out: dict[str, float] = {}
    for name, things in (("prompts", [p.a for p in retrieval_prompts(pictures)]), ("all", list(everything))):
        wanted = rng.choice(things, count)
        vectors = judge(Views(pictures).hard(wanted, rng).to(device))
        ranks = gallery.ranks(vectors, torch.from_numpy(wanted).to(device), torch.tensor(things, device=device))
        out |= {f"{name} R@{k}": float((ranks < k).float().mean()) for k in (1, 5)}
    return out


def save(judge: Judge, folder: Path, facts: dict[str, object]) -> None:
    from safetensors.torch import save_file

    save_file(judge.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "mmgen-judge", **judge.shape, **facts}, indent=2))


def load(folder: Path, device: str = "cpu") -> Judge:
    """Raises BadWeights for what `train` did not write."""
    config = weights.read_json(folder / "config.json")
    judge = Judge(config.get("width", 32), config.get("dimension", 128))
    weights.fill(judge, weights.read(folder / "model.safetensors"))
    return judge.to(device).eval()
