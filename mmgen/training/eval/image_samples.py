"""Sample images during denoiser training: the same prompts and seeds every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solvers import tabulate
from mmgen.runners.denoise import DenoiseRequest, DenoiseRunner
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.eval.eval_prompts import composition_prompts, retrieval_prompts

SOLVER, STEPS, GUIDANCE, SEEDS = "dpm++2m", 20, 5.0, (0, 1)
CELL, LINE = 128, 14  # pixels of an image's side and of its caption's line


def prompts(images: EmojiImages) -> list[str]:
    """Six things by name, and a relation, a count and a background that training does not show."""
    names = retrieval_prompts(images, 6)
    return [prompt.text for prompt in names + composition_prompts(images, relations=2, counts=2, backgrounds=2)]


def draw(model: DenoiserModel, texts: Sequence[str], seeds: Sequence[int] = SEEDS) -> Tensor:
    """Every prompt under every seed -> (P * S, 3, H, W) in [-1, 1]; grey where it is no number any more."""
    table = tabulate(NoiseSchedule.from_config(model.scheduler_config), SOLVER, STEPS)
    params = ImageParams(solver=SOLVER, steps=STEPS, guidance=GUIDANCE, width=model.size, height=model.size)
    nothing, *conditions = model.embed_prompts(["", *texts])
    jobs = [Job("denoise", DenoiseRequest(params, one, table, nothing), seed=seed) for one in conditions for seed in seeds]
    runner = DenoiseRunner(model)
    while running := [job for job in jobs if job.ended is None]:
        runner.step(running)
    grey = torch.zeros(model.latent_shape(model.size, model.size))
    return model.decode(torch.stack([job.future.result() if job.status == "done" else grey for job in jobs]))


def grid(images: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """Images in lines of `columns`, each over its caption, which is cut where it is too long."""
    lines = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * CELL, lines * (CELL + LINE)), "white")
    pen = ImageDraw.Draw(sheet)
    for n, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = n % columns * CELL, n // columns * (CELL + LINE)
        sheet.paste(image.resize((CELL, CELL), Image.Resampling.NEAREST), (x, y))
        while pen.textlength(caption) > CELL - 4:
            caption = caption[:-1]
        pen.text((x + 2, y + CELL), caption, fill="black")
    return sheet


def write(model: DenoiserModel, texts: Sequence[str], path: Path) -> None:
    """A PNG with two prompts a line."""
    drawn = ((draw(model, texts) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    captions = [text for text in texts for _ in SEEDS]
    grid([Image.fromarray(one) for one in drawn], captions, 2 * len(SEEDS)).save(path)
