"""Vision Transformer: images to patches, patches through the text transformer's blocks, and one vector of an image.

Dosovitskiy et al. 2021. Knows normalised pixels; not files, labels or texts.
"""

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
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers import feed_forward
from mmgen.models.layers.attention import CrossAttention, EncoderMemory, PaddedAttention
from mmgen.models.layers.norms import norm
from mmgen.models.layers.positions import Rotation
from mmgen.models.lm.transformer import Block, ForwardPass
from mmgen.models.transformer_config import Activation, OldShapeKeys, TransformerConfig

Pooling = Literal["class", "mean", "attention", "places"]


@constructor(width="hidden_size", hidden="intermediate_size")
@attributes(width="hidden_size", hidden="intermediate_size")
@dataclass(frozen=True)
class VisionConfig(OldShapeKeys):
    """A shape. The defaults are ViT's."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a YAML file is loaded

    image_size: int  # pixels a side that positions are learned for
    patch: int  # pixels a side
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int  # of the feed-forward
    pooling: Pooling = "class"
    positions: Literal["learned", "rotary2d"] = "learned"
    class_token: bool = True
    patch_bias: bool = True
    stem: tuple[int, ...] = ()  # channels of convolutions before the patches, each halving the image; Xiao et al. 2021
    embedding_norm: bool = False  # a norm before the blocks, as CLIP has it
    norm_eps: float = 1e-6
    activation: Activation = "gelu"
    gated: bool = False
    qkv_bias: bool = True
    rope_theta: float = 100.0  # of rotary2d; places are few, so that frequencies are far higher than those of texts
    dropout: float = 0.0  # of what a sublayer adds, in training

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
            raise ConfigError(f"heads of width {self.blocks.head_size} cannot turn in two directions; take a multiple of 4")

    @property
    def grid(self) -> int:
        """Patches a side; what is left over at the right and below is not looked at."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """Places of an image of `image_size`."""
        return self.grid**2 + self.class_token

    @cached_property
    def blocks(self) -> TransformerConfig:
        """Of the blocks; its vocabulary is no one's."""
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
    """Images of any size; positions are stretched from the grid that they were learned on."""

    checkpointing = False  # True: activations are computed anew going backward instead of kept; Chen et al. 2016

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config, shape = config, config.blocks
        self.stem = _stem(config) if config.stem else None
        channels, side = (3, *config.stem)[-1], config.patch // 2 ** len(config.stem)
        self.patches = nn.Conv2d(channels, config.hidden_size, side, side, bias=config.patch_bias)
        self.class_token = _small(config.hidden_size) if config.class_token else None
        self.positions = _small(config.tokens, config.hidden_size) if config.positions == "learned" else None
        self.rotary = Rotary2d(config) if config.positions == "rotary2d" else None
        self.embedding_norm = norm(shape) if config.embedding_norm else None
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(config.layers))
        self.norm = norm(shape)
        self.pool = AttentionPooling(shape) if config.pooling == "attention" else None
        flat = config.pooling == "places"
        self.places = Linear(config.tokens * config.hidden_size, config.hidden_size, bias=False) if flat else None

    @property
    def device(self) -> torch.device:
        return self.patches.weight.device

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised as the weights expect -> hidden states (B, N, D), normalised, the class token first.

        Raises BadRequest for an image that is smaller than a patch.
        """
        return self.norm(self._states(images))  # type: ignore[no-any-return]

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D): the class token's state, the mean of the patches', what attention gathers of all, or the sum
        of all places, each through a projection of its own; that one is for images of `image_size` alone.
        """
        x: Tensor = self._states(images)
        if self.config.pooling == "class":
            return self.norm(x[:, 0])  # type: ignore[no-any-return]
        x = self.norm(x)
        if self.pool is not None:
            return self.pool(x)  # type: ignore[no-any-return]
        if self.places is not None:
            if x.shape[1] != self.config.tokens:
                side = self.config.image_size
                raise BadRequest(
                    f"an image of {images.shape[-1]} x {images.shape[-2]}; this model sees {side} x {side}: resize it"
                )
            return self.places(x.flatten(1))  # type: ignore[no-any-return]
        return x[:, int(self.config.class_token) :].mean(1)

    def _states(self, images: Tensor) -> Tensor:
        """Before the last norm."""
        height, width = self._grid(images)
        if self.stem is not None:
            images = self.stem(images[..., : height * self.config.patch, : width * self.config.patch])
        x: Tensor = self.patches(images).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, N, D)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), 1, -1), x), 1)
        if self.positions is not None:
            x = x + stretched(self.positions, self.config, height, width)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        rotation = None if self.rotary is None else self.rotary(height, width, images.device)
        run = ForwardPass(PaddedAttention(), rotation, None, None, None)
        for block in self.blocks:
            x = checkpoint(block, x, run, use_reentrant=False) if self.checkpointing and self.training else block(x, run)
        return x

    def _grid(self, images: Tensor) -> tuple[int, int]:
        height, width = (side // self.config.patch for side in images.shape[-2:])
        if not height or not width:
            size = f"{images.shape[-1]} x {images.shape[-2]}"
            raise BadRequest(f"an image of {size} is less than a patch of {self.config.patch}; enlarge it")
        return height, width


class AttentionPooling(nn.Module):
    """A learned query looks at all places, and a feed-forward refines what it saw; Zhai et al. 2022, 3.3 ("MAP head")."""

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
    """Half of a head's pairs turn with the row and half with the column; the class token stands still. Su et al. 2021, in
    two dimensions as in Fang et al. 2023 (EVA-02), 2.1: on another grid, places keep their share of the image."""

    def __init__(self, config: VisionConfig) -> None:
        self.grid, self.still = config.grid, int(config.class_token)
        size = config.blocks.head_size // 2
        self.frequencies = config.rope_theta ** (-torch.arange(0, size, 2).float() / size)  # (d / 4,)

    def __call__(self, height: int, width: int, device: torch.device) -> Rotation:
        rows, columns = torch.meshgrid(
            *(torch.arange(side).float() * (self.grid / side) for side in (height, width)), indexing="ij"
        )
        angles = torch.cat([places.flatten()[:, None] * self.frequencies for places in (rows, columns)], -1)  # (N, d / 2)
        angles = F.pad(angles, (0, 0, self.still, 0)).to(device)
        cos, sin = angles.cos(), angles.sin()
        return Rotation(torch.cat((cos, cos), -1)[:, None], torch.cat((-sin, sin), -1)[:, None])


def stretched(positions: Tensor, config: VisionConfig, height: int, width: int) -> Tensor:
    """Learned positions (tokens, D) on a grid of height x width patches -> (N, D), bicubic; Dosovitskiy et al. 2021, 3.2."""
    if height == width == config.grid:
        return positions
    still, moved = positions.split((int(config.class_token), config.grid**2))
    plane = moved.float().T.unflatten(1, (config.grid, config.grid))[None]  # (1, D, grid, grid)
    plane = F.interpolate(plane, (height, width), mode="bicubic", align_corners=False)
    return torch.cat((still, plane[0].flatten(1).T.to(positions.dtype)))


def _stem(config: VisionConfig) -> nn.Sequential:
    """(B, 3, H, W) -> (B, C, H / 2^n, W / 2^n)"""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *config.stem)):
        activation = feed_forward.ACTIVATIONS[config.activation]()
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(8, after), activation]
    return nn.Sequential(*layers)


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(shape))
