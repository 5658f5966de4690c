"""Two towers and one space: images and texts to unit vectors, and the losses that bring them together.

Radford et al. 2021 (CLIP), Zhai et al. 2023 (SigLIP). Knows pixels and token ids; not files, tokenizers or recipes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmgen.errors import ConfigError, TooLong
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers.attention import VarlenAttention
from mmgen.models.lm.transformer import Transformer
from mmgen.models.transformer_config import TransformerConfig
from mmgen.models.vision.vit import VisionConfig, VisionTransformer

Rows = TypeVar("Rows", Tensor, Sequence[Sequence[int]])


@dataclass(frozen=True)
class ClipConfig:
    """A shape. Without `text`, texts come as vectors of a frozen sentence encoder; Zhai et al. 2022 (LiT)."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a YAML file is loaded

    vision: VisionConfig
    dimension: int  # of the space
    text: TransformerConfig | None = None
    text_width: int = 0  # of the sentence vectors, where `text` is None
    loss: Literal["softmax", "sigmoid"] = "softmax"
    image_projection: bool = True  # False: the tower's own vector
    text_projection: bool = True
    projection_bias: bool = False

    def __post_init__(self) -> None:
        if (self.text is None) == (self.text_width == 0):
            raise ConfigError("give either text, the shape of a tower, or text_width, the size of sentence vectors")
        sides = {
            "image": (self.image_projection, self.vision.hidden_size),
            "text": (self.text_projection, self.text_width if self.text is None else self.text.hidden_size),
        }
        for side, (projected, width) in sides.items():
            if not projected and width != self.dimension:
                raise ConfigError(f"dimension is {self.dimension}, {side} vectors have {width}; set {side}_projection")


class Clip(nn.Module):
    """Both towers, their projections, and how sharply similarity is read."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = VisionTransformer(config.vision)
        self.text = None if config.text is None else Transformer(config.text)
        width = config.text_width if config.text is None else config.text.hidden_size
        bias = config.projection_bias
        self.image_projection = (
            Linear(config.vision.hidden_size, config.dimension, bias=bias) if config.image_projection else None
        )
        self.text_projection = Linear(width, config.dimension, bias=bias) if config.text_projection else None
        sigmoid = config.loss == "sigmoid"
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10) if sigmoid else -math.log(0.07)))  # log of 1 / temperature
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if sigmoid else None

    @property
    def device(self) -> torch.device:
        return self.vision.device

    def embed_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, E), unit length"""
        x = self.vision.pooled(pixels)
        return F.normalize(x if self.image_projection is None else self.image_projection(x), dim=-1)

    def embed_texts(self, texts: Sequence[Sequence[int]] | Tensor) -> Tensor:
        """Rows of token ids of any lengths, each with its end token last, or sentence vectors (B, d) -> (B, E), unit length.

        A row's last place is its vector. Raises TooLong for a row that is longer than the tower reads.
        """
        if self.text is None:
            assert isinstance(texts, Tensor), "without a text tower, texts are sentence vectors"
            x = texts
        else:
            assert not isinstance(texts, Tensor), "a text tower reads rows of token ids"
            x = last_states(self.text, texts)
        return F.normalize(x if self.text_projection is None else self.text_projection(x), dim=-1)

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Unit vectors (B, E), (C, E) -> (B, C)"""
        return similarities(images, texts, self.logit_scale, self.logit_bias)

    def loss(self, images: Tensor, texts: Tensor, same: Tensor | None = None) -> Tensor:
        """Of unit vectors (B, E) and (C, E), by the shape's own loss -> scalar; `same` as of `softmax_loss`."""
        compute = softmax_loss if self.logit_bias is None else sigmoid_loss
        return compute(images, texts, self.logit_scale, self.logit_bias, same)


def last_states(tower: Transformer, rows: Sequence[Sequence[int]]) -> Tensor:
    """The state at every row's last place, (B, D); rows go side by side, like lengths together, and nothing is padded."""
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    sizes = [len(rows[n]) for n in order]
    if sizes and sizes[-1] > tower.config.max_tokens:
        raise TooLong(f"a text is {sizes[-1]} tokens, the model reads {tower.config.max_tokens}; shorten it")
    ids = torch.tensor([number for n in order for number in rows[n]], device=tower.device)
    positions = torch.cat([torch.arange(size) for size in sizes]).to(tower.device)
    states: Tensor = tower(ids[None], VarlenAttention.of(sizes), positions=positions)[0]  # (sum of sizes, D)
    ends = torch.tensor(sizes).cumsum(0) - 1
    back = torch.tensor(order).argsort()
    return states[ends[back].to(tower.device)]


def similarities(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """`exp(scale) cosine + bias` of unit vectors (B, E), (C, E) -> (B, C); `scale` is a logarithm."""
    logits = scale.exp() * images @ texts.T
    return logits if bias is None else logits + bias


def softmax_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None, same: Tensor | None = None
) -> Tensor:
    """Every image chooses its text among all, and every text its image; Radford et al. 2021, figure 3.

    Args:
        images, texts: (B, E) and (C, E), unit length.
        scale: the logarithm of 1 / temperature.
        bias: changes nothing here.
        same: bool (B, C), which belong together; None: row n of the one and row n of the other. Of several right ones each
            has its share (Khosla et al. 2020, eq. 2); a text without any image is there to be told from others.
    """
    logits = similarities(images, texts, scale)
    same = torch.eye(len(logits), dtype=torch.bool, device=logits.device) if same is None else same
    return (_chosen(logits, same) + _chosen(logits.T, same.T)) / 2


def _chosen(logits: Tensor, same: Tensor) -> Tensor:
    """Mean nats of the rows that have something right to choose."""
    count = same.sum(1, keepdim=True)
    right = same / count.clamp(min=1)
    nats = -(right * logits.log_softmax(1)).sum(1)  # (B,), 0 where nothing is right
    return nats.sum() / (count > 0).sum()


def sigmoid_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None, same: Tensor | None = None
) -> Tensor:
    """Every pair is judged by itself: do they belong together? Zhai et al. 2023, eq. 1. Arguments as of `softmax_loss`."""
    logits = similarities(images, texts, scale, bias)
    same = torch.eye(len(logits), device=logits.device) if same is None else same
    return -F.logsigmoid((2.0 * same - 1) * logits).sum() / len(logits)


def in_parts(embed: Callable[[Rows], Tensor], rows: Rows, size: int = 0) -> Tensor:
    """`embed` over a batch, so many rows at a time (0: all), in the memory of one part: what a part computes on the way is
    computed anew going backward, with the same dropout, from the gradient of a loss that saw all vectors.

    Gao et al. 2021 (GradCache), 3.2, by activation checkpointing (Chen et al. 2016).
    """
    if not size or size >= len(rows):
        return embed(rows)
    parts = [checkpoint(embed, rows[at : at + size], use_reentrant=False) for at in range(0, len(rows), size)]
    return torch.cat(parts)
