"""Recipe of the x2 upscaler after a small-image denoiser: L1 loss between its output and the full-size image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.diffusion.upscaler import Upscaler, UpscalerConfig, half
from mmgen.training import loop, mixed_precision
from mmgen.training.data import synthetic_captions
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.scene_renderer import SceneRenderer
from mmgen.training.data.synthetic_batches import SyntheticBatches
from mmgen.training.data.synthetic_captions import Mix
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.run_log import RunLog
from mmgen.training.schedules import LearningRateSchedule


class UpscalerRecipe(Config):
    """configs/train/emoji-upscaler.yaml"""

    data: Path | None = None  # the folder of `mmgen data emoji`
    out: Path = Path("runs/upscaler")
    channels: int = Field(48, ge=4)
    layers: int = Field(4, ge=1)
    steps: int = Field(3000, ge=1)
    batch: int = Field(32, ge=1)
    learning_rate: float = 2e-3
    warmup: float = 0.05
    roughness: float = 0.06  # maximum standard deviation of noise on the input: generated images are not clean
    mixed_precision: str = "no"
    seed: int = 0
    checkpoint_minutes: float = 3.0


@dataclass(frozen=True)
class UpscalerBatch:
    """Images in [-1, 1], and what is shown of them."""

    small: Tensor  # (B, 3, S / 2, S / 2), with noise
    images: Tensor  # (B, 3, S, S)

    def to(self, device: torch.device) -> UpscalerBatch:
        return UpscalerBatch(self.small.to(device), self.images.to(device))


class UpscalerLoss(nn.Module):
    """L1 between the upscaled images and the images."""

    def __init__(self, upscaler: Upscaler) -> None:
        super().__init__()
        self.upscaler = upscaler

    def forward(self, batch: UpscalerBatch) -> dict[str, Tensor]:
        return {"l1": F.l1_loss(self.upscaler(batch.small).float(), batch.images)}


class UpscalerRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "L1, images in [-1, 1]"
    minimised = "l1"
    plotted: tuple[str, ...] = ("l1",)
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: UpscalerRecipe, device: torch.device | str = "cpu") -> None:
        if recipe.data is None:
            raise BadRequest("no data; give --data the folder that `mmgen data emoji` built")
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        dataset = EmojiImages.load(recipe.data)
        pool = synthetic_captions.draw(dataset, 20_000, Mix(), recipe.seed)
        self.scenes = SyntheticBatches(SceneRenderer(dataset), pool, batch=recipe.batch, seed=recipe.seed)
        self.model = Upscaler(UpscalerConfig(recipe.channels, recipe.layers)).to(device)
        self.loss = UpscalerLoss(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
        recipe.out.mkdir(parents=True, exist_ok=True)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[UpscalerBatch, float]]:
        images = self.scenes.batch(step).images
        batch = UpscalerBatch(add_noise(half(images), self.recipe.roughness, step), images)
        return [(UpscalerBatch(batch.small[process::processes], batch.images[process::processes]), 1.0)]


def train(recipe: UpscalerRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done and `out/model` is written."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = UpscalerRun(recipe, accelerator.device)
    settings = LoopRecipe(
        out=recipe.out,
        steps=recipe.steps,
        batch=recipe.batch,
        schedule=LearningRateSchedule(peak=recipe.learning_rate, floor=0.02, warmup=recipe.warmup),
        gradient_clip=None,
        seed=recipe.seed,
        checkpoint_minutes=recipe.checkpoint_minutes,
        mixed_precision=recipe.mixed_precision,
    )
    done = loop.run(settings, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
    if done:
        task.model.save(recipe.out / "model")
    return done


def add_noise(small: Tensor, most: float, step: int) -> Tensor:
    """Adds noise of a random strength per image; seeded by the step."""
    rng = torch.Generator().manual_seed(step)
    strength = most * torch.rand(len(small), 1, 1, 1, generator=rng)
    return small + (strength * torch.randn(small.shape, generator=rng)).to(small.device)
