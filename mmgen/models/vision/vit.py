"""Vision transformer (ViT, Dosovitskiy et al. 2021): patch embedding, the same blocks as text transformers, and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmgen.deprecated import attributes, constructor
from mmgen.errors import BadRequest, ConfigError
from mmgen.models.cpu.batch_invariant_layers import Conv2d
from mmgen.models.cpu.bf16 import Bf16PatchEmbedding
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers import feed_forward
from mmgen.models.layers.attention import CrossAttention, EncoderMemory, PaddedAttention
from mmgen.models.layers.norms import norm
from mmgen.models.layers.positions import Rotation
from mmgen.models.lm.transformer import Block, ForwardPass, FusedBlocks
from mmgen.models.transformer_config import Activation, OldShapeKeys, TransformerConfig

Pooling = Literal["class", "mean", "attention", "places"]


@constructor(width="hidden_size", hidden="intermediate_size")
@attributes(width="hidden_size", hidden="intermediate_size")
@dataclass(frozen=True)
class VisionConfig(OldShapeKeys):
    """Hyperparameters of a vision transformer. The defaults are ViT's."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a YAML file is loaded

    image_size: int  # pixels per side that the position embeddings are for
    patch: int  # pixels per side of a patch
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int  # of the feed-forward
    pooling: Pooling = "class"
    positions: Literal["learned", "rotary2d"] = "learned"
    class_token: bool = True
    patch_bias: bool = True
    stem: tuple[int, ...] = ()  # output channels of stride-2 convolutions before the patch embedding; Xiao et al. 2021
    embedding_norm: bool = False  # CLIP's norm before the blocks
    norm_eps: float = 1e-6
    activation: Activation = "gelu"
    gated: bool = False
    qkv_bias: bool = True
    rope_theta: float = 100.0  # base of rotary2d's frequencies; a grid has few positions, so it is smaller than for text
    dropout: float = 0.0  # of each sublayer's output, in training

    def __post_init__(self) -> None:
        for name in ("image_size", "patch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a number of pixels, at least 1")
        if self.image_size < self.patch:
            raise ConfigError(f"image_size is {self.image_size}, less than a patch of {self.patch}; change one")
        if self.patch % 2 ** len(self.stem):
            raise ConfigError(f"a patch of {self.patch} cannot be halved {len(self.stem)} times by the stem; change one")
        if self.pooling == "class" and not self.class_token:
            raise ConfigError('pooling is "class" without a class_token; take "mean" or "attention"')
        if self.positions == "rotary2d" and self.blocks.head_size % 4:
            raise ConfigError(f"heads of width {self.blocks.head_size} are too narrow for rotary2d; take a multiple of 4")

    @property
    def grid(self) -> int:
        """Patches per side. Pixels beyond the last whole patch, at the right and bottom, are ignored."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """Tokens of an image of `image_size`: patches, and the class token if there is one."""
        return self.grid**2 + self.class_token

    @cached_property
    def blocks(self) -> TransformerConfig:
        """Configuration of the transformer blocks; its vocab_size is not used."""
        return TransformerConfig(
            vocab_size=1,
            hidden_size=self.hidden_size,
            layers=self.layers,
            heads=self.heads,
            intermediate_size=self.intermediate_size,
            max_tokens=self.tokens,
            positions="none",
            norm_at="pre",
            norm_eps=self.norm_eps,
            activation=self.activation,
            gated=self.gated,
            qkv_bias=self.qkv_bias,
            dropout=self.dropout,
        )


class VisionTransformer(nn.Module):
    """Takes images of any size: position embeddings are interpolated from the grid of `image_size`."""

    checkpointing = False  # True: activation checkpointing (Chen et al. 2016) of every block in training

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config, shape = config, config.blocks
        self.stem = _stem(config) if config.stem else None
        channels, side = (3, *config.stem)[-1], config.patch // 2 ** len(config.stem)
        self.patches: Conv2d | Bf16PatchEmbedding = Conv2d(channels, config.hidden_size, side, side, bias=config.patch_bias)
        self.class_token = _small(config.hidden_size) if config.class_token else None
        self.positions = _small(config.tokens, config.hidden_size) if config.positions == "learned" else None
        self.rotary = Rotary2d(config) if config.positions == "rotary2d" else None
        self.embedding_norm = norm(shape) if config.embedding_norm else None
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(config.layers))
        self.fused: FusedBlocks | None = None  # installed where weights are rounded, see lm/fused_encoder.py
        self.norm = norm(shape)
        self.pool = AttentionPooling(shape) if config.pooling == "attention" else None
        flat = config.pooling == "places"
        # pooling "places": a projection of all tokens, flattened
        self.places = Linear(config.tokens * config.hidden_size, config.hidden_size, bias=False) if flat else None

    @property
    def device(self) -> torch.device:
        return self.patches.weight.device

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed pixels -> hidden states after the last norm (B, N, D), the class token first.

        Raises BadRequest for an image that is smaller than a patch.
        """
        return self.norm(self._states(images))  # type: ignore[no-any-return]

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D), by the configuration's pooling: the class token's state, the mean over patches, attention
        pooling, or a projection of all tokens, flattened; the last takes images of `image_size` only, otherwise BadRequest.
        """
        if self.config.pooling == "class":
            return self.norm(self._states(images, first_alone=True)[:, 0])  # type: ignore[no-any-return]
        x: Tensor = self.norm(self._states(images))
        if self.pool is not None:
            return self.pool(x)  # type: ignore[no-any-return]
        if self.places is not None:
            if x.shape[1] != self.config.tokens:
                side = self.config.image_size
                raise BadRequest(
                    f"the image is {images.shape[-1]} x {images.shape[-2]} pixels, this model takes {side} x {side}; resize it"
                )
            return self.places(x.flatten(1))  # type: ignore[no-any-return]
        return x[:, int(self.config.class_token) :].mean(1)

    def _states(self, images: Tensor, first_alone: bool = False) -> Tensor:
        """Hidden states before the last norm, (B, N, D); of each image's first token alone (B, 1, D)."""
        height, width = self._grid(images)
        if self.stem is not None:
            images = self.stem(images[..., : height * self.config.patch, : width * self.config.patch])
        x: Tensor = self.patches(images).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, N, D)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), 1, -1), x), 1)
        if self.positions is not None:
            x = x + interpolated(self.positions, self.config, height, width)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        rotation = None if self.rotary is None else self.rotary(height, width, images.device)
        wanted = torch.arange(len(x)) * x.shape[1] if first_alone and self.fused is not None else None
        run = ForwardPass(PaddedAttention(), rotation, None, None, None, wanted)
        if self.fused is not None and (fused := self.fused(self, x, run)) is not None:
            return fused if wanted is None else fused.transpose(0, 1)
        for block in self.blocks:
            x = checkpoint(block, x, run, use_reentrant=False) if self.checkpointing and self.training else block(x, run)
        return x[:, :1] if first_alone else x

    def _grid(self, images: Tensor) -> tuple[int, int]:
        """Patches per column and per row."""
        height, width = (side // self.config.patch for side in images.shape[-2:])
        if not height or not width:
            size = f"{images.shape[-1]} x {images.shape[-2]}"
            raise BadRequest(f"the image is {size} pixels, smaller than a patch of {self.config.patch}; enlarge it")
        return height, width


class AttentionPooling(nn.Module):
    """Multihead attention pooling: a learned query attends to all tokens, then a residual MLP; Zhai et al. 2022, 3.3."""

    def __init__(self, shape: TransformerConfig) -> None:
        super().__init__()
        self.query = _small(shape.hidden_size)
        self.attention, self.norm = CrossAttention(shape, 0), norm(shape)
        self.up, self.activation, self.down = (
            make(shape) for make in (feed_forward.up, feed_forward.activation, feed_forward.down)
        )

    def forward(self, states: Tensor) -> Tensor:
        """(B, N, D) -> (B, D)"""
        x = self.attention(self.query.expand(len(states), 1, -1), EncoderMemory(states))[:, 0]
        return x + self.down(self.activation(self.up(self.norm(x))))  # type: ignore[no-any-return]


class Rotary2d:
    """Rotary position embeddings (Su et al. 2021) in two dimensions: half of a head's pairs rotate with the row, half with the
    column; the class token is not rotated. Other grids are scaled to the configuration's, as in Fang et al. 2023 (EVA-02), 2.1.
    """

    def __init__(self, config: VisionConfig) -> None:
        self.grid, self.unrotated = config.grid, int(config.class_token)
        size = config.blocks.head_size // 2
        self.frequencies = config.rope_theta ** (-torch.arange(0, size, 2).float() / size)  # (d / 4,)

    def __call__(self, height: int, width: int, device: torch.device) -> Rotation:
        rows, columns = torch.meshgrid(
            *(torch.arange(side).float() * (self.grid / side) for side in (height, width)), indexing="ij"
        )
        angles = torch.cat([axis.flatten()[:, None] * self.frequencies for axis in (rows, columns)], -1)  # (N, d / 2)
        angles = F.pad(angles, (0, 0, self.unrotated, 0)).to(device)
        cos, sin = angles.cos(), angles.sin()
        return Rotation(torch.cat((cos, cos), -1)[:, None], torch.cat((-sin, sin), -1)[:, None])


def interpolated(positions: Tensor, config: VisionConfig, height: int, width: int) -> Tensor:
    """Position embeddings (tokens, D), bicubically interpolated to height x width patches -> (N, D); Dosovitskiy et al. 2021,
    3.2. The class token's stays."""
    if height == width == config.grid:
        return positions
    class_token, patches = positions.split((int(config.class_token), config.grid**2))
    plane = patches.float().T.unflatten(1, (config.grid, config.grid))[None]  # (1, D, grid, grid)
    plane = F.interpolate(plane, (height, width), mode="bicubic", align_corners=False)
    return torch.cat((class_token, plane[0].flatten(1).T.to(positions.dtype)))


def _stem(config: VisionConfig) -> nn.Sequential:
    """(B, 3, H, W) -> (B, C, H / 2^n, W / 2^n)"""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *config.stem)):
        activation = feed_forward.ACTIVATIONS[config.activation]()
        layers += [Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(8, after), activation]
    return nn.Sequential(*layers)


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(shape))
