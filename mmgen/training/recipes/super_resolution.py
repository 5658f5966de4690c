"""Recipe of the network that makes a denoiser's 64-pixel images four times as large: L1 on colours and on slopes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.diffusion.upscalers.palette import PaletteNet
from mmgen.runtime import Runtime
from mmgen.training import loop, mixed_precision
from mmgen.training.data import super_resolution_pairs
from mmgen.training.data.super_resolution_pairs import SCALE, SIDE, PairsRecipe, SuperResolutionPairs
from mmgen.training.eval import edge_metrics
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.run_log import RunLog
from mmgen.training.schedules import LearningRateSchedule

FILE = "model.safetensors"


class SuperResolutionRecipe(Config):
    """configs/train/emoji-super-resolution.yaml"""

    data: Path | None = None  # the folder of `mmgen data emoji`
    out: Path = Path("runs/super-resolution")
    denoiser: str = "embedded:emoji"  # whose images are made larger
    pairs: PairsRecipe = PairsRecipe()
    width: int = Field(default=64, ge=1)  # channels
    blocks: int = Field(default=5, ge=1)
    crop: int = Field(default=32, ge=8, le=SIDE)  # pixels of the small image that a row shows
    clean: float = Field(default=0.1, ge=0, le=1)  # share of rows that show the box filter of the large image
    redrawn: float = Field(default=0.5, ge=0, le=1)  # share of the others in whose pairs the denoiser took part
    roughness: float = Field(default=0.02, ge=0)  # maximum standard deviation of noise on the small image, of the range 0 to 1
    slopes: float = Field(default=0.5, ge=0)  # weight of the differences of neighbouring pixels
    steps: int = Field(default=10_000, ge=1)
    minutes: float | None = Field(default=None, gt=0)  # in place of `steps`
    batch: int = Field(default=12, ge=1)
    learning_rate: float = 6e-4
    warmup: float = 0.03
    mixed_precision: str = "auto"
    validate_every: int = Field(default=250, ge=1)  # steps
    seed: int = 0
    checkpoint_minutes: float = 4.0


@dataclass(frozen=True)
class SuperResolutionBatch:
    """Images in [0, 1]."""

    small: Tensor  # (B, 3, S, S)
    large: Tensor  # (B, 3, 4 S, 4 S)

    def to(self, device: torch.device) -> SuperResolutionBatch:
        return SuperResolutionBatch(self.small.to(device), self.large.to(device))


class SuperResolutionLoss(nn.Module):
    """L1 between the enlarged images and the true ones, and between their differences of neighbouring pixels."""

    def __init__(self, network: PaletteNet, slopes: float) -> None:
        super().__init__()
        self.network, self.slopes = network, slopes

    def forward(self, batch: SuperResolutionBatch) -> dict[str, Tensor]:
        error = self.network(batch.small).float() - batch.large
        colour = error.abs().mean()
        slope = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        return {"loss": colour + self.slopes * slope, "l1": colour}


class SuperResolutionRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "L1, images in [0, 1]"
    plotted: tuple[str, ...] = ("l1", "loss")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: SuperResolutionRecipe, pairs: Path, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.pairs, held_out = (SuperResolutionPairs.open(pairs / name) for name in ("training", "held_out"))
        kinds = [np.flatnonzero(self.pairs.redrawn == kind) for kind in (False, True)]
        self.kinds = [rows if len(rows) else np.arange(len(self.pairs)) for rows in kinds]
        torch.manual_seed(recipe.seed)
        self.model = PaletteNet(recipe.width, recipe.blocks, SCALE)
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = SuperResolutionLoss(self.model, recipe.slopes)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.99)
        )
        self.unseen = SuperResolutionBatch(values(held_out.drawn), values(held_out.large)).to(torch.device(device))

    def inputs(self, step: int) -> SuperResolutionBatch:
        """Crops in one of eight orientations; depends on the seed and the step alone."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, 4, step])
        size, width = recipe.crop, recipe.crop * SCALE
        small, large = np.empty((recipe.batch, 3, size, size), np.uint8), np.empty((recipe.batch, 3, width, width), np.uint8)
        for n in range(recipe.batch):
            row = rng.choice(self.kinds[int(rng.random() < recipe.redrawn)])
            shown = self.pairs.clean if rng.random() < recipe.clean else self.pairs.drawn
            (top, left), turn = rng.integers(0, SIDE - size + 1, 2), int(rng.integers(0, 8))
            for source, out, scale in ((shown, small, 1), (self.pairs.large, large, SCALE)):
                y, x = (slice(scale * at, scale * (at + size)) for at in (top, left))
                out[n] = turned(source[row, :, y, x], turn)
        noise = recipe.roughness * rng.random((recipe.batch, 1, 1, 1)) * rng.standard_normal(small.shape)
        return SuperResolutionBatch(values(small) + torch.from_numpy(noise).float(), values(large))

    def parts(self, step: int, process: int, processes: int) -> list[tuple[SuperResolutionBatch, float]]:
        whole = self.inputs(step)
        return [(SuperResolutionBatch(whole.small[process::processes], whole.large[process::processes]), 1.0)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """Things that training does not show; `out/model` is written each time."""
        if len(self.unseen.small):
            shown = zip(self.unseen.small.split(16), self.unseen.large.split(16), strict=True)
            images = [(self.model(small).float().clamp(0, 1), large) for small, large in shown]
            record.note(step, edge_metrics.measured(*(torch.cat(parts) for parts in zip(*images, strict=True))))
        save(self.model, self.recipe.out / "model")


def train(recipe: SuperResolutionRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done and `out/model` is written."""
    if recipe.data is None:
        raise BadRequest("no data; give --data the folder that `mmgen data emoji` built")
    recipe.out.mkdir(parents=True, exist_ok=True)
    pairs = recipe.out / "pairs"
    if not pairs.is_dir():
        with Runtime() as rt:
            client: Any = rt.denoiser(recipe.denoiser)
            super_resolution_pairs.pairs(pairs, recipe.data, recipe.pairs, client)
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = SuperResolutionRun(recipe, pairs, accelerator.device)
    settings = LoopRecipe(
        out=recipe.out,
        steps=recipe.steps,
        minutes=recipe.minutes,
        batch=recipe.batch,
        gradient_clip=1.0,
        schedule=LearningRateSchedule(peak=recipe.learning_rate, floor=0.01, warmup=recipe.warmup),
        seed=recipe.seed,
        validate_every=recipe.validate_every,
        checkpoint_minutes=recipe.checkpoint_minutes,
        mixed_precision=recipe.mixed_precision,
    )
    return loop.run(settings, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """(3, S, S) in one of the square's eight orientations: 0 to 3 quarter turns, and these mirrored."""
    image = np.rot90(image, turn % 4, (1, 2))
    return image[..., ::-1] if turn >= 4 else image


def values(images: np.ndarray) -> Tensor:
    """uint8 -> [0, 1], a copy."""
    return torch.from_numpy(np.array(images, dtype=np.float32)) / 255


def save(network: PaletteNet, folder: Path) -> None:
    """Weights as fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / FILE, metadata={"format": "pt"})
