"""Text-to-image recipe: a UNet learns to denoise, conditioned on the caption's token states."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.diffusion.autoencoder import Autoencoder, PixelAutoencoder
from mmgen.models.diffusion.conditioning import SentenceConditioner, null_condition, stack
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.upscaler import HalfSizeAutoencoder, Upscaler
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.training import loop, mixed_precision, schedules
from mmgen.training.data import synthetic_captions, text_state_cache
from mmgen.training.data.emoji_images import SIDE, EmojiImages
from mmgen.training.data.scene_renderer import Augment, SceneRenderer
from mmgen.training.data.synthetic_batches import SceneBatch, SyntheticBatches
from mmgen.training.data.synthetic_captions import Mix
from mmgen.training.data.text_state_cache import TokenStates
from mmgen.training.eval import image_samples
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.run_log import RunLog


class DenoiserRecipe(Config):
    """configs/train/emoji-*.yaml"""

    data: Path | None = None  # the folder of `mmgen data emoji`
    out: Path = Path("runs/emoji")
    text: str = "embedded:minilm"  # the text encoder
    tokens: int = Field(32, ge=2)  # the longest prompt
    vendors: tuple[str, ...] = ()  # none: all
    leave_out: tuple[str, ...] = ()  # groups of images
    pool: int = Field(60_000, ge=1)  # captions sampled in advance, so that each is encoded once
    mix: Mix = Mix()
    augment: Augment = Augment()
    upscaler: Path | None = None  # a trained upscaler's folder: the UNet then generates at half size; None: at full size
    fold: int = Field(2, ge=1)  # without an upscaler: pixel unshuffle factor
    unet: dict[str, Any]  # of diffusers' UNet2DConditionModel
    schedule: dict[str, Any]  # of a diffusers scheduler
    steps: int = Field(..., ge=1)
    batch: int = Field(64, ge=1)
    learning_rate: float = 4e-4
    warmup: float = 0.01  # share of the steps
    decay: float = 0.2  # the last share of the steps, in which the learning rate falls to a fiftieth
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average: float = 0.999  # decay of the weights' moving average
    drop_caption: float = 0.1  # for classifier-free guidance
    min_snr_gamma: float | None = 5.0  # None: every timestep weighs the same
    gradient_checkpointing: bool = False
    mixed_precision: str = "no"
    seed: int = 0
    checkpoint_minutes: float = 5.0
    samples_minutes: float = 10.0


@dataclass(frozen=True)
class DenoiserBatch:
    """Images and their captions, ready for a step."""

    clean: Tensor  # (B, C, H, W) latents
    noise: Tensor  # (B, C, H, W)
    timesteps: Tensor  # (B,)
    tokens: Tensor  # (B, N, D) token states
    mask: Tensor  # (B, N)
    pooled: Tensor  # (B, D)

    def to(self, device: torch.device) -> DenoiserBatch:
        return DenoiserBatch(*(getattr(self, one.name).to(device) for one in fields(self)))


class DenoiserLoss(nn.Module):
    """Weighted squared error of the model's prediction; Hang et al. 2023, eq. 5 to 7, the mean over pixels."""

    def __init__(self, unet: nn.Module, schedule: NoiseSchedule, gamma: float | None) -> None:
        super().__init__()
        self.unet, self.schedule, self.gamma = unet, schedule, gamma

    def forward(self, batch: DenoiserBatch) -> dict[str, Tensor]:
        clean, noise, timesteps = batch.clean, batch.noise, batch.timesteps
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        output = self.unet(noisy, timesteps, batch.tokens, class_labels=batch.pooled, encoder_attention_mask=batch.mask).sample
        error: Tensor = (output.float() - self.schedule.target(clean, noise, timesteps)).pow(2).mean((1, 2, 3))
        if self.gamma is not None:
            error = self.schedule.loss_weight(timesteps, self.gamma) * error
        return {"loss": error.mean()}


class CaptionConditions:
    """Conditioning of a pool's captions, with caption dropout for classifier-free guidance."""

    def __init__(self, token_states: TokenStates, drop: float) -> None:
        self.states, self.drop = token_states, drop

    def conditions(self, batch: SceneBatch, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Token states (B, N, D), mask (B, N) and pooled vectors (B, D)."""
        states = self.states.gather(batch.caption)
        tokens, mask, pooled = states.tokens, states.mask, states.pooled
        assert tokens is not None and mask is not None and pooled is not None
        dropped = torch.rand(len(tokens), generator=rng, device=tokens.device) < self.drop
        null = stack([null_condition(tokens.shape[1], tokens.shape[2], tokens.device)])
        for own, empty in ((tokens, null.tokens), (mask, null.mask), (pooled, null.pooled)):
            assert empty is not None
            own[dropped] = empty
        return tokens, mask, pooled


def make_unet(recipe: DenoiserRecipe, autoencoder: Autoencoder, width: int, side: int) -> Any:
    """A fresh UNet for prompts of `width`-dimensional token states and images of `side` pixels."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(recipe.seed)
    unet: Any = UNet2DConditionModel(
        sample_size=side // autoencoder.factor,
        in_channels=autoencoder.channels,
        out_channels=autoencoder.channels,
        cross_attention_dim=width,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=width,
        **recipe.unet,
    )
    with torch.no_grad():  # entries of a unit vector are small: scaled so that the caption weighs as much as the timestep
        unet.class_embedding.linear_1.weight.mul_(width**0.5)
    if recipe.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return unet


def autoencoder_of(recipe: DenoiserRecipe) -> Autoencoder:
    return HalfSizeAutoencoder(Upscaler.load(recipe.upscaler)) if recipe.upscaler else PixelAutoencoder(3 * recipe.fold**2)


class DenoiserRun(TaskHooks):
    """The `Task` of the loop. Images and captions are on `device`, where batches are rendered."""

    ylabel = "weighted squared error"
    plotted: tuple[str, ...] = ("loss",)
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: DenoiserRecipe, device: str | torch.device = "cpu") -> None:
        if recipe.data is None:
            raise BadRequest("no data; give --data the folder that `mmgen data emoji` built")
        self.recipe, self.device = recipe, torch.device(device)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.images = EmojiImages.load(recipe.data, recipe.vendors, recipe.leave_out)
        pool = synthetic_captions.draw(self.images, recipe.pool, recipe.mix, recipe.seed)
        painter = SceneRenderer(self.images, augment=recipe.augment, device=self.device)
        self.scenes = SyntheticBatches(painter, pool, batch=recipe.batch, seed=recipe.seed, mix=recipe.mix)
        encoder = SentenceEncoder.load(hub.resolve(recipe.text), str(self.device), recipe.text)
        self.text = SentenceConditioner(encoder, recipe.tokens)
        self.captions = CaptionConditions(
            text_state_cache.cached(pool.captions, encoder, recipe.out).to(self.device), recipe.drop_caption
        )
        self.autoencoder = autoencoder_of(recipe)
        self.schedule = NoiseSchedule.from_config(recipe.schedule)
        self.unet = make_unet(recipe, self.autoencoder, encoder.dimension, SIDE)
        self.average = copy.deepcopy(self.unet).requires_grad_(False).eval()
        for module in (self.unet, self.average):
            module.to(self.device, memory_format=torch.channels_last)
        self.model = nn.ModuleDict({"unet": self.unet, "average": self.average})
        self.loss = DenoiserLoss(self.unet, self.schedule.to(self.device), recipe.min_snr_gamma)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
        )
        self.sampled = time.monotonic()

    def inputs(self, step: int) -> DenoiserBatch:
        """Depends on the seed and the step alone."""
        rng = torch.Generator(self.device).manual_seed(self.recipe.seed * 1_000_003 + step)
        batch = self.scenes.batch(step)
        clean = self.autoencoder.encode(batch.images)
        noise = torch.randn(clean.shape, generator=rng, device=self.device)
        timesteps = torch.randint(self.schedule.train_steps, (len(clean),), generator=rng, device=self.device)
        return DenoiserBatch(clean, noise, timesteps, *self.captions.conditions(batch, rng))

    def parts(self, step: int, process: int, processes: int) -> list[tuple[DenoiserBatch, float]]:
        whole = self.inputs(step)
        return [(DenoiserBatch(*(getattr(whole, one.name)[process::processes] for one in fields(whole))), 1.0)]

    @torch.no_grad()
    def updated(self, step: int) -> None:
        """Updates the exponential moving average of the weights; with a smaller decay in the first steps."""
        decay = min(self.recipe.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.unet.parameters()), 1 - decay)

    def reported(self, step: int, paused: bool) -> None:
        """Every few minutes and at the end, `out/model` and images of it."""
        if not paused and time.monotonic() - self.sampled <= 60 * self.recipe.samples_minutes:
            return
        export(self)
        model = DenoiserModel(self.average, self.text, self.autoencoder, self.recipe.schedule)
        image_samples.write(model, image_samples.prompts(self.images), self.recipe.out / "samples.png")
        self.sampled = time.monotonic()


def train(recipe: DenoiserRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png, samples.png and checkpoints."""
    from diffusers.models.attention_processor import AttnProcessor

    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = DenoiserRun(recipe, accelerator.device)
    if accelerator.device.type == "cpu":
        task.unet.set_attn_processor(AttnProcessor())  # torch's fused kernel is slow backward in bf16: 76 against 95 images/s
    settings = LoopRecipe(
        out=recipe.out,
        steps=recipe.steps,
        batch=recipe.batch,
        schedule=rates(recipe),
        gradient_clip=recipe.gradient_clip,
        seed=recipe.seed,
        checkpoint_minutes=recipe.checkpoint_minutes,
        mixed_precision=recipe.mixed_precision,
    )
    return loop.run(settings, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)


def rates(recipe: DenoiserRecipe) -> schedules.LearningRateSchedule:
    """Warmup-stable-decay: a longer run can resume from the plateau."""
    return schedules.LearningRateSchedule(
        kind="wsd", peak=recipe.learning_rate, floor=0.02, warmup=recipe.warmup, decay=recipe.decay
    )


def export(run: DenoiserRun) -> Path:
    """The averaged weights as a folder in diffusers' format, fp16 -> `out/model`."""
    recipe, folder = run.recipe, run.recipe.out / "model"
    average = copy.deepcopy(run.average).to("cpu", torch.float16, memory_format=torch.contiguous_format)
    average.save_pretrained(folder / "unet", safe_serialization=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(recipe.schedule, indent=2) + "\n")
    if isinstance(run.autoencoder, HalfSizeAutoencoder):
        run.autoencoder.upscaler.save(folder / "upscaler")
    (folder / "mmgen.json").write_text(
        json.dumps({"text": recipe.text, "tokens": recipe.tokens, "size": SIDE}, indent=2) + "\n"
    )
    return folder
