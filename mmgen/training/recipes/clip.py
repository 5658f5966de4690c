"""CLIP recipe: a vision tower and a text tower, or a frozen sentence encoder, learn a joint embedding space.

Radford et al. 2021 (CLIP), Zhai et al. 2022 (LiT), Zhai et al. 2023 (SigLIP).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.config import UserPath
from mmgen.errors import BadRequest, TooLong
from mmgen.models import transformer_config
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.transformer_config import TransformerConfig
from mmgen.models.vision import clip_checkpoint
from mmgen.models.vision.clip import Clip, ClipConfig, in_parts
from mmgen.models.vision.preprocess import ImagePreprocess
from mmgen.models.vision.vit import VisionConfig
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.data.emoji_images import SIDE
from mmgen.training.data.image_caption_data import ImageCaptionPairs, ImagesRecipe
from mmgen.training.data.pair_protocol import ImageTextPairs
from mmgen.training.data.synthetic_pairs import SyntheticPairs, SyntheticPairsRecipe
from mmgen.training.eval.retrieval_metrics import both_ways
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.recipes import tokenizer as tokenizers
from mmgen.training.recipes.tokenizer import TokenizerRecipe
from mmgen.training.run_log import RunLog

SHARPEST = math.log(100)
"""The temperature never falls below 0.01; Radford et al. 2021, 2.5."""


class ClipRecipe(LoopRecipe):
    """configs/train/emoji-clip-*.yaml, clip.yaml"""

    old_keys: ClassVar = {"pictures": "images"}

    data: UserPath | None = None  # what `mmgen data emoji` built, or images with captions, see image_caption_data.py
    drawings: SyntheticPairsRecipe | None = None  # how the emoji of `data` are used; None: `data` is other images
    images: ImagesRecipe = ImagesRecipe()  # how those are used
    vision: VisionConfig
    dimension: int = Field(256, ge=1)
    loss: Literal["softmax", "sigmoid"] = "softmax"
    sentences: str = "embedded:minilm"  # the frozen encoder that reads captions, where there is no text tower
    text: dict[str, Any] | None = None  # a text tower's TransformerConfig, without its vocabulary
    tokenizer: TokenizerRecipe = TokenizerRecipe()  # of the text tower
    more_captions: int = Field(0, ge=0)  # additional negative captions per batch
    scale: float | None = Field(None, gt=0)  # fixed inverse temperature; None: learned
    text_noise: float = Field(0.0, ge=0)  # norm of the noise added to sentence vectors, as regularisation


@dataclass(frozen=True)
class ClipBatch:
    """Images, and captions as the text side reads them."""

    pixels: Tensor  # (B, 3, S, S)
    texts: Tensor | list[list[int]]  # (C, d) sentence vectors, or C rows of token ids
    same: Tensor  # (B, C) bool

    def to(self, device: Any) -> ClipBatch:
        moved = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor)})


class ContrastiveLoss(nn.Module):
    """Contrastive loss of a batch; the towers run `together` rows at a time."""

    def __init__(self, clip: Clip, together: int) -> None:
        super().__init__()
        self.clip, self.together = clip, together

    def forward(self, batch: ClipBatch) -> dict[str, Tensor]:
        with torch.no_grad():
            self.clip.logit_scale.clamp_(max=SHARPEST)
        images = in_parts(self.clip.embed_images, batch.pixels, self.together).float()
        read = self.clip.embed_texts
        if isinstance(batch.texts, Tensor):
            texts = read(batch.texts).float()  # sentence vectors take no memory on their way
        else:
            texts = in_parts(read, batch.texts, self.together).float()
        return {"loss": self.clip.loss(images, texts, batch.same), "scale": self.clip.logit_scale.detach().exp()}


class TextFeatures(Protocol):
    """Captions as inputs of the text tower."""

    def batch(self, captions: Tensor, rng: np.random.Generator) -> Tensor | list[list[int]]: ...
    def read(self, captions: list[str]) -> Tensor | list[list[int]]: ...
    def save(self, folder: Path) -> None: ...


class FrozenTextFeatures:
    """Vectors of a frozen sentence encoder, computed once."""

    def __init__(self, recipe: ClipRecipe, captions: list[str]) -> None:
        self.encoder = SentenceEncoder.load(hub.resolve(recipe.sentences, kind="encoder"), name=recipe.sentences)
        self.vectors = self.read(captions)  # (captions, d)
        self.noise = recipe.text_noise / math.sqrt(self.encoder.dimension)

    def batch(self, captions: Tensor, rng: np.random.Generator) -> Tensor:
        vectors = self.vectors[captions]
        return vectors + self.noise * torch.from_numpy(rng.standard_normal(vectors.shape, dtype=np.float32))

    def read(self, captions: list[str]) -> Tensor:
        return torch.from_numpy(self.encoder.embed_text(captions))

    def save(self, folder: Path) -> None:
        """The encoder stays where it is; config.json names it."""


class TokenFeatures:
    """Rows of a tokenizer that was trained on the captions, each with its end token, as `clip.last_states` reads them."""

    def __init__(self, recipe: ClipRecipe, captions: list[str]) -> None:
        path = recipe.out / "tokenizer.json"
        if not path.is_file():
            given = recipe.tokenizer
            fast = Tokenizer(given.file).fast if given.file else tokenizers.train(captions, given.kind, given.vocabulary)
            tokenizers.save(tokenizers.append_end(fast), recipe.out)
        self.tokenizer = Tokenizer(path)
        self.config = transformer_config.load({**(recipe.text or {}), "vocab_size": self.tokenizer.fast.get_vocab_size()})
        if not self.config.causal or self.config.encoder is not None:
            raise BadRequest("the last token's state is the text's; say causal: true in text, and no encoder")
        self.rows = self.read(captions)

    def batch(self, captions: Tensor, rng: np.random.Generator) -> list[list[int]]:
        return [self.rows[number] for number in captions.tolist()]

    def read(self, captions: list[str]) -> list[list[int]]:
        """Raises TooLong."""
        rows = [self.tokenizer.prompt(caption) for caption in captions]
        for row, caption in zip(rows, captions, strict=True):
            if len(row) > self.config.max_tokens:
                raise TooLong(
                    f"{caption[:40]!r}... is {len(row)} tokens, the text tower reads {self.config.max_tokens}; raise max_tokens"
                )
        return rows

    def save(self, folder: Path) -> None:
        tokenizers.save(self.tokenizer.fast, folder, self.config.max_tokens)


class ClipRun(TaskHooks):
    """The `Task` of the loop: model, data and loss."""

    ylabel = "nats"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: ClipRecipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.pairs = pairs_of(recipe, device)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.texts: TextFeatures
        tower: TransformerConfig | None = None
        if recipe.text is None:
            self.texts = sentences = FrozenTextFeatures(recipe, self.pairs.captions)
            width = sentences.encoder.dimension
        else:
            self.texts = tokens = TokenFeatures(recipe, self.pairs.captions)
            tower, width = tokens.config, 0
        torch.manual_seed(recipe.seed)
        projected = recipe.vision.hidden_size != recipe.dimension
        self.model = Clip(ClipConfig(recipe.vision, recipe.dimension, tower, width, recipe.loss, projected))
        init_weights(self.model, recipe.scale)
        self.loss = ContrastiveLoss(self.model, recipe.together)
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[ClipBatch, float]]:
        """One micro-batch: the contrastive loss compares each image with all captions of its process."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 5, step, process])
        shown = self.pairs.batch(rng, recipe.batch // processes, recipe.more_captions)
        return [(ClipBatch(shown.pixels, self.texts.batch(shown.captions, rng), shown.same), 1.0)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        found = self.recall()
        record.note(step, found)
        best = -found["text to image R@5"]
        if best <= progress["best"]:
            progress["best"] = best
            checkpoint.replaced(self.recipe.out / "model", self.export)

    def recall(self) -> dict[str, float]:
        """Of the held-out images."""
        held, clip = self.pairs.held_out, self.model
        images = torch.cat([clip.embed_images(part.to(clip.device)).float() for part in held.pixels.split(128)])
        texts = self.texts.read(held.captions)
        read = clip.embed_texts(texts.to(clip.device) if isinstance(texts, Tensor) else texts).float()
        return both_ways(images, read, held.captions)

    def export(self, folder: Path) -> None:
        recipe, side = self.recipe, self.recipe.vision.image_size
        sentences = "" if recipe.text else recipe.sentences
        clip_checkpoint.save(self.model, folder, ImagePreprocess(size=(side, side)), sentences, compact=True)
        self.texts.save(folder)
        (folder / "captions.txt").write_text("\n".join(self.pairs.tags) + "\n", encoding="utf-8")  # of pipelines.tags


@torch.no_grad()
def init_weights(clip: Clip, scale: float | None) -> None:
    """Zero-initialises the output projections of the vision tower's blocks (Bachlechner et al. 2021)."""
    for name, parameter in clip.vision.blocks.named_parameters():
        if name.split(".", 1)[1].startswith(("attention.out.", "down.")):
            nn.init.zeros_(parameter)
    if scale is not None:
        clip.logit_scale.fill_(math.log(scale)).requires_grad_(False)


def pairs_of(recipe: ClipRecipe, device: torch.device | str = "cpu") -> ImageTextPairs:
    if recipe.data is None:
        raise BadRequest("no data; give --data images with captions, or the folder that `mmgen data emoji` built")
    if recipe.drawings is not None:
        if recipe.vision.image_size != SIDE:
            raise BadRequest(
                f"vision.image_size is {recipe.vision.image_size}, the drawings have {SIDE} pixels a side; say {SIDE}"
            )
        return SyntheticPairs(recipe.data, recipe.drawings, recipe.seed, device)
    return ImageCaptionPairs(recipe.data, recipe.images, recipe.vision.image_size)


def train(recipe: ClipRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png, checkpoints and, whenever recall
    is the best so far, `out/model`."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    with accelerator.main_process_first():
        task = ClipRun(recipe, accelerator.device)
    record = RunLog(recipe.out, recipe.steps, unit="images")
    return loop.run(recipe, task, record, accelerator, stop_after_minutes)
