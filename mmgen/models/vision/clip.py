"""Contrastive dual encoders: CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023), with their losses.

Images and texts become unit vectors of one embedding space.
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
    """Hyperparameters of a dual encoder. Without `text`, texts come as vectors of a frozen sentence encoder (LiT)."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a YAML file is loaded

    vision: VisionConfig
    dimension: int  # of the embedding space
    text: TransformerConfig | None = None
    text_width: int = 0  # dimension of the sentence vectors, where `text` is None
    loss: Literal["softmax", "sigmoid"] = "softmax"  # CLIP's, SigLIP's
    image_projection: bool = True  # False: the tower's pooled state is the embedding
    text_projection: bool = True
    projection_bias: bool = False

    def __post_init__(self) -> None:
        if (self.text is None) == (self.text_width == 0):
            raise ConfigError("give either text, the text tower's configuration, or text_width, the size of sentence vectors")
        sides = {
            "image": (self.image_projection, self.vision.hidden_size),
            "text": (self.text_projection, self.text_width if self.text is None else self.text.hidden_size),
        }
        for side, (projected, width) in sides.items():
            if not projected and width != self.dimension:
                raise ConfigError(f"dimension is {self.dimension}, {side} vectors have {width}; set {side}_projection")


class Clip(nn.Module):
    """Both towers, their projections to the embedding space, and the logit scale (and bias) of the similarities."""

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
        """B rows of token ids of any lengths, or sentence vectors (B, d) -> (B, E), unit length.

        A row's embedding is the state of its last token, the end token. Raises TooLong for a row beyond the tower's context.
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
        """The configuration's loss of unit vectors (B, E) and (C, E) -> scalar; `same` as in `softmax_loss`."""
        compute = softmax_loss if self.logit_bias is None else sigmoid_loss
        return compute(images, texts, self.logit_scale, self.logit_bias, same)


def last_states(tower: Transformer, rows: Sequence[Sequence[int]]) -> Tensor:
    """The hidden state of each row's last token, (B, D). One pass over all rows, sorted by length and without padding."""
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    sizes = [len(rows[n]) for n in order]
    if sizes and sizes[-1] > tower.config.max_tokens:
        raise TooLong(f"a text is {sizes[-1]} tokens, the model reads {tower.config.max_tokens}; shorten it")
    ids = torch.tensor([number for n in order for number in rows[n]], device=tower.device)
    positions = torch.cat([torch.arange(size) for size in sizes]).to(tower.device)
    ends = torch.tensor(sizes, device=tower.device).cumsum(0) - 1
    states: Tensor = tower(ids[None], VarlenAttention.of(sizes), positions=positions, wanted=ends)[0]
    return states[torch.tensor(order).argsort().to(tower.device)]


def similarities(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """`exp(scale) * cosine + bias` of unit vectors (B, E), (C, E) -> (B, C)."""
    logits = scale.exp() * images @ texts.T
    return logits if bias is None else logits + bias


def softmax_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None, same: Tensor | None = None
) -> Tensor:
    """InfoNCE in both directions, image to text and text to image, averaged; Radford et al. 2021, figure 3.

    Args:
        images, texts: (B, E) and (C, E), unit length.
        scale: log of 1 / temperature.
        bias: ignored, since a softmax is invariant to it.
        same: bool (B, C), the positive pairs; None: row n of both. Several positives share the target equally (Khosla et al.
            2020, eq. 2); a text without a positive is a negative for all images.
    """
    logits = similarities(images, texts, scale)
    same = torch.eye(len(logits), dtype=torch.bool, device=logits.device) if same is None else same
    return (_chosen(logits, same) + _chosen(logits.T, same.T)) / 2


def _chosen(logits: Tensor, same: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of the rows that have a positive."""
    count = same.sum(1, keepdim=True)
    right = same / count.clamp(min=1)
    nats = -(right * logits.log_softmax(1)).sum(1)  # (B,), 0 without a positive
    return nats.sum() / (count > 0).sum()


def sigmoid_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None, same: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of every pair; Zhai et al. 2023, eq. 1. Arguments as in `softmax_loss`."""
    logits = similarities(images, texts, scale, bias)
    same = torch.eye(len(logits), device=logits.device) if same is None else same
    return -F.logsigmoid((2.0 * same - 1) * logits).sum() / len(logits)


def in_parts(embed: Callable[[Rows], Tensor], rows: Rows, size: int = 0) -> Tensor:
    """`embed` over a batch in chunks of `size` rows (0: one chunk), with the activation memory of one chunk.

    The backward pass recomputes each chunk, with the same dropout, so that a contrastive loss over the whole batch gets exact
    gradients: GradCache (Gao et al. 2021), 3.2, by activation checkpointing (Chen et al. 2016).
    """
    if not size or size >= len(rows):
        return embed(rows)
    parts = [checkpoint(embed, rows[at : at + size], use_reentrant=False) for at in range(0, len(rows), size)]
    return torch.cat(parts)
