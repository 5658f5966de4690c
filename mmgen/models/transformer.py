"""The transformer. Tensors in, hidden states out; knows no tokenizer, no task and no decoding loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mmgen.models.attention import Attention, SideBySide
from mmgen.models.cache import GrowingCache
from mmgen.models.linear import Linear


@dataclass(frozen=True)
class TransformerConfig:
    """A shape. What differs between families is a field here, not another class."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int  # of the feed-forward
    max_tokens: int
    token_types: int = 0  # BERT's segments; 0: none
    positions: Literal["learned"] = "learned"
    norm: Literal["layer"] = "layer"
    norm_at: Literal["post"] = "post"  # after the residual sum, as in Vaswani et al. 2017 and BERT
    norm_eps: float = 1e-12
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"


NORMS: dict[str, Callable[..., nn.Module]] = {"layer": nn.LayerNorm}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU("tanh"), "relu": nn.ReLU}


class Embeddings(nn.Module):
    """Tokens to vectors: word + position + segment, normalised."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.max_tokens, config.width)
        self.types = nn.Embedding(config.token_types, config.width) if config.token_types else None
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(self, ids: Tensor, positions: Tensor, types: Tensor | None = None) -> Tensor:
        x = self.words(ids) + self.positions(positions)  # (B, N) -> (B, N, D)
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        return self.norm(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then a feed-forward network over each place; a residual and a norm around both."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attention = Attention(config, layer)
        self.attention_norm = NORMS[config.norm](config.width, eps=config.norm_eps)
        self.up = Linear(config.width, config.hidden)
        self.activation = ACTIVATIONS[config.activation]()
        self.down = Linear(config.hidden, config.width)
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(self, x: Tensor, mask: Tensor | SideBySide | None, cache: GrowingCache | None = None) -> Tensor:
        x = self.attention_norm(x + self.attention(x, mask, cache))
        return self.norm(x + self.down(self.activation(self.up(x))))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Embeddings and blocks. The mask makes it an encoder, a decoder or a prefix language model."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | SideBySide | None = None,
        *,
        positions: Tensor | None = None,
        types: Tensor | None = None,
        cache: GrowingCache | None = None,
    ) -> Tensor:
        """Hidden states of the last layer.

        Args:
            ids: (B, N) token ids.
            mask: bool, True where a query may look; broadcast to (B, heads, N, keys). None: all see all.
                `SideBySide`: many rows behind one another in a single one; `positions` must be given.
            positions: (B, N) or (N,), from 0 to `max_tokens - 1`; None counts from 0.
            types: (B, N) segments; None is segment 0.
            cache: keys and values of earlier places, read and extended.

        Returns:
            (B, N, D)
        """
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.embed(ids, positions, types)
        for block in self.blocks:
            x = block(x, mask, cache)
        return x  # type: ignore[no-any-return]
