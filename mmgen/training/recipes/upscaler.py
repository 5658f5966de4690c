"""Recipe of the x2 upscaler after a small-image denoiser: L1 loss between its output and the full-size image."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.diffusion.upscaler import Upscaler, UpscalerConfig, half
from mmgen.training import checkpoint
from mmgen.training.data import synthetic_captions
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.scene_renderer import SceneRenderer
from mmgen.training.data.synthetic_batches import SyntheticBatches
from mmgen.training.data.synthetic_captions import Mix
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


def train(recipe: UpscalerRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done and `out/model` is written."""
    from accelerate import Accelerator

    if recipe.data is None:
        raise BadRequest("no data; give --data the folder that `mmgen data emoji` built")
    accelerator = Accelerator(mixed_precision=recipe.mixed_precision)
    torch.manual_seed(recipe.seed)
    dataset = EmojiImages.load(recipe.data)
    pool = synthetic_captions.draw(dataset, 20_000, Mix(), recipe.seed)
    scenes = SyntheticBatches(SceneRenderer(dataset), pool, batch=recipe.batch, seed=recipe.seed)
    upscaler = Upscaler(UpscalerConfig(recipe.channels, recipe.layers)).to(accelerator.device)
    optimizer = torch.optim.AdamW(upscaler.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    recipe.out.mkdir(parents=True, exist_ok=True)
    progress = checkpoint.load(recipe.out / "checkpoint", upscaler, optimizer) or {"step": 0, "seconds": 0.0}
    model, optimizer = accelerator.prepare(upscaler, optimizer)
    record = RunLog(recipe.out, recipe.steps, seconds=progress["seconds"])
    saved = time.monotonic()
    rates = LearningRateSchedule(peak=recipe.learning_rate, floor=0.02, warmup=recipe.warmup)
    for step in range(progress["step"], recipe.steps):
        rate = rates.rate(step, recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = scenes.batch(step).images.to(accelerator.device)
        loss = F.l1_loss(model(add_noise(half(images), recipe.roughness, step)).float(), images)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        record.add(step, {"l1": loss}, len(images), rate)
        enough = stop_after_minutes is not None and record.seconds - progress["seconds"] > 60 * stop_after_minutes
        if time.monotonic() - saved > 60 * recipe.checkpoint_minutes or enough or step + 1 == recipe.steps:
            state = {"step": step + 1, "of": recipe.steps, "seconds": record.seconds}
            checkpoint.save(recipe.out / "checkpoint", upscaler, optimizer.optimizer, state)
            record.plot(["l1"], "L1, images in [-1, 1]")
            saved = time.monotonic()
        if enough and step + 1 < recipe.steps:
            return False
    upscaler.save(recipe.out / "model")
    return True


def add_noise(small: Tensor, most: float, step: int) -> Tensor:
    """Adds noise of a random strength per image; seeded by the step."""
    rng = torch.Generator().manual_seed(step)
    strength = most * torch.rand(len(small), 1, 1, 1, generator=rng)
    return small + (strength * torch.randn(small.shape, generator=rng)).to(small.device)
