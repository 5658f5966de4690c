"""The transformer. Tensors in, hidden states out; knows no tokenizer, no task and no decoding loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmgen.models.layers import feed_forward
from mmgen.models.layers.attention import Attention, AttentionBackend, Bias, CrossAttention, EncoderMemory, PaddedAttention
from mmgen.models.layers.gated_delta import GatedDeltaNet
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.layers.norms import norm
from mmgen.models.layers.positions import Alibi, RelativeBias, Rotary, Rotation, sinusoids
from mmgen.models.lm.paged.model import DecodedSteps, StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.transformer_config import TransformerConfig

__all__ = ["Transformer", "TransformerConfig"]


@dataclass(frozen=True)
class ForwardPass:
    """What all layers of one forward pass share."""

    attending: AttentionBackend
    rotation: Rotation | None  # of layers that see everything
    windowed: Rotation | None  # of layers with a window
    memory: EncoderMemory | None
    routing: list[Tensor] | None
    wanted: Tensor | None = None  # (W,) rows among all, ascending, whose states alone are asked for


class Embeddings(nn.Module):
    """Tokens to vectors: word, and position and segment where the shape adds them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale = config.embedding_scale
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_tokens, config.hidden_size) if config.positions == "learned" else None
        self.types = nn.Embedding(config.token_types, config.hidden_size) if config.token_types else None
        self.norm = norm(config) if config.embedding_norm else None
        self.table: Tensor | None
        self.register_buffer("table", sinusoids(config) if config.positions == "sinusoidal" else None, persistent=False)

    def forward(self, ids: Tensor, positions: Tensor, types: Tensor | None = None) -> Tensor:
        x = self.words(ids)  # (B, N) -> (B, N, D)
        return self.placed(x if self.scale == 1 else x * self.scale, positions, types)

    def placed(self, x: Tensor, positions: Tensor, types: Tensor | None = None) -> Tensor:
        """(B, N, D) vectors of words, scaled already, with their positions and segments."""
        if self.positions is not None:
            x = x + self.positions(positions)
        elif self.table is not None:
            x = x + self.table[positions]
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        return x if self.norm is None else self.norm(x)


class Block(nn.Module):
    """Attention, then a feed-forward network over each place; a residual and a norm around both."""

    def __init__(self, config: TransformerConfig, layer: int, bias: Bias | None = None) -> None:
        super().__init__()
        self.norm_at, self.parallel, self.dropout = config.norm_at, config.parallel, config.dropout
        self.multiplier, self.mixed, self.crossed = config.residual_multiplier, config.mixes(layer), config.encoder is not None
        self.windowed, self.recurs = config.window_of(layer) is not None, config.recurs(layer)
        if self.recurs:
            self.delta = GatedDeltaNet(config, layer)
        else:
            self.attention = Attention(config, layer, bias)
        self.attention_norm = norm(config)
        if config.encoder is not None:
            self.cross, self.cross_norm = CrossAttention(config, layer), norm(config)
        if self.mixed:
            self.experts = feed_forward.Experts(config)
        else:
            self.up, self.activation = feed_forward.up(config), feed_forward.activation(config)
            self.down = feed_forward.down(config)
        self.norm = None if config.shared_norm else norm(config)
        if config.norm_at == "both":
            self.attention_after, self.after = norm(config), norm(config)

    def forward(self, x: Tensor, run: ForwardPass) -> Tensor:
        """(B, N, D) -> (B, N, D)"""
        if self.parallel:
            seen = self.attention_norm(x)
            return x + self._attended(seen, run) + self._fed(seen if self.norm is None else self.norm(x), run)
        assert self.norm is not None, "only what is parallel shares a norm"
        if self.norm_at == "post":
            x = self.attention_norm(x + self._attended(x, run))
            if self.crossed:
                x = self.cross_norm(x + self._drop(self.cross(x, run.memory)))
            return self.norm(x + self._fed(x, run))  # type: ignore[no-any-return]
        if self.norm_at == "after":
            x = x + self.attention_norm(self._attended(x, run))
            return x + self.norm(self._fed(x, run))  # type: ignore[no-any-return]
        if self.norm_at == "both":
            x = x + self.attention_after(self._attended(self.attention_norm(x), run))
            return x + self.after(self._fed(self.norm(x), run))  # type: ignore[no-any-return]
        x = x + self._attended(self.attention_norm(x), run)
        if self.crossed:
            x = x + self._drop(self.cross(self.cross_norm(x), run.memory))
        return x + self._fed(self.norm(x), run)

    def _attended(self, x: Tensor, run: ForwardPass) -> Tensor:
        if self.recurs:
            return self._drop(self.delta(x, run.attending))
        return self._drop(self.attention(x, run.attending, run.windowed if self.windowed else run.rotation))

    def _fed(self, x: Tensor, run: ForwardPass) -> Tensor:
        return self._drop(self.experts(x, run.routing) if self.mixed else self.down(self.activation(self.up(x))))

    def _drop(self, x: Tensor) -> Tensor:
        """What a sublayer adds, as it is added."""
        x = x if self.multiplier == 1 else x * self.multiplier
        return F.dropout(x, self.dropout) if self.dropout and self.training else x


class FusedBlocks(Protocol):
    """All blocks in one call."""

    def __call__(self, transformer: nn.Module, x: Tensor, run: ForwardPass) -> Tensor | None:
        """(B, N, D) -> (B, N, D), or (1, W, D) of wanted rows, after the last block, before the final norm; None: the blocks
        are to run one by one."""
        ...

    def read(self, ids: Tensor, run: ForwardPass, wanted: Tensor, states: bool = True) -> tuple[Tensor, Tensor] | None:
        """(1, N) ids -> states (N, D), or none, and the logits (W, V) of wanted rows; None: not in this call."""
        ...

    def decode(self, ids: Tensor, run: ForwardPass, limits: StepLimits, draws: Sequence[DrawPlan]) -> DecodedSteps | None:
        """`PagedModel.decode`, with the rotation of all steps; None: not in one call."""
        ...


class Transformer(nn.Module):
    """Embeddings and blocks. The shape and the mask make it an encoder, a decoder or a prefix language model."""

    checkpointing = False  # True: activations are computed anew going backward instead of kept; Chen et al. 2016

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embeddings(config)
        self.bias = RelativeBias(config) if config.positions == "relative" else None
        bias = Alibi(config) if config.positions == "alibi" else self.bias
        self.blocks = nn.ModuleList(Block(config, layer, bias) for layer in range(config.layers))
        self.norm = None if config.norm_at == "post" else norm(config)
        self.rotary, self.windowed = _rotaries(config)
        self.fused: FusedBlocks | None = None  # installed where weights are packed, see lm/fused_{decoder,encoder}.py

    @property
    def device(self) -> torch.device:
        return self.embed.words.weight.device

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | AttentionBackend | None = None,
        *,
        positions: Tensor | None = None,
        types: Tensor | None = None,
        cache: GrowingCache | None = None,
        memory: Tensor | EncoderMemory | None = None,
        memory_mask: Tensor | None = None,
        routing: list[Tensor] | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Hidden states of the last layer, normalised where the shape has its norms before sublayers.

        Args:
            ids: (B, N) token ids.
            mask: bool, True where a query may look within what the shape allows; broadcasts to (B, heads, N, keys).
                None: all that the shape allows. An `AttentionBackend` such as `VarlenAttention`: `positions` must be given.
            positions: (B, N) or (N,), from 0 to `max_tokens - 1`; None counts on from the cache.
            types: (B, N) segments; None is segment 0.
            cache: keys and values of earlier places, read and extended. Not beside an `AttentionBackend`, which keeps its own.
            memory: an encoder's states (B, M, D), or a `EncoderMemory` of them that is kept for all passes over one text.
            memory_mask: bool, True where the memory may be read; broadcasts to (B, heads, N, M).
            routing: to it are appended the routers' logits of a mixture of experts, for `balance_loss`.
            wanted: (W,) places among all B N, ascending, whose states alone are returned.

        Returns:
            (B, N, D), or (1, W, D) of wanted places
        """
        if positions is None:
            start = 0 if cache is None else len(cache)
            positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        run = replace(self._pass(positions, mask, cache, memory, memory_mask, routing), wanted=wanted)
        x = self.embed(ids, positions, types)
        if self.config.dropout and self.training:
            x = F.dropout(x, self.config.dropout)
        if self.fused is not None and (fused := self.fused(self, x, run)) is not None:
            return fused if self.norm is None else self.norm(fused)
        for block in self.blocks:
            x = checkpoint(block, x, run, use_reentrant=False) if self.checkpointing and self.training else block(x, run)
        x = x if wanted is None else x.flatten(0, 1)[wanted][None]
        return x if self.norm is None else self.norm(x)  # type: ignore[no-any-return]

    def read(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, wanted: Tensor, states: bool = True
    ) -> tuple[Tensor, Tensor] | None:
        """As of `PagedModel.read`, in one call; None: layer by layer, see `forward`."""
        if self.fused is None:
            return None
        return self.fused.read(ids, self._pass(positions, attending, None, None, None, None), wanted, states)

    def decode(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, limits: StepLimits, draws: Sequence[DrawPlan]
    ) -> DecodedSteps | None:
        """Several steps in one call, see `PagedModel.decode`; None: step by step."""
        if self.fused is None or self.rotary is None or self.rotary.by_length:
            return None
        return self.fused.decode(ids, self._pass(positions.flatten(), attending, None, None, None, None), limits, draws)

    def read_vectors(self, x: Tensor, cache: GrowingCache) -> None:
        """Reads (B, N, D) vectors that stand at the beginning of a text instead of words; their keys and values are cached.

        As transformers takes them: a multiplier of the model counts for them too, one of its word vectors does not.
        """
        positions = torch.arange(x.shape[1], device=x.device)
        x = self.embed.placed(x * (self.config.embedding_multiplier or 1.0), positions)
        run = self._pass(positions, None, cache, None, None, None)
        for block in self.blocks:
            x = block(x, run)

    def _pass(
        self,
        positions: Tensor,
        mask: Tensor | AttentionBackend | None,
        cache: GrowingCache | None,
        memory: Tensor | EncoderMemory | None,
        memory_mask: Tensor | None,
        routing: list[Tensor] | None,
    ) -> ForwardPass:
        attending = PaddedAttention(mask, cache) if mask is None or isinstance(mask, Tensor) else mask
        if isinstance(memory, Tensor):
            memory = EncoderMemory(memory, memory_mask)
        if self.rotary is None or self.windowed is None:
            return ForwardPass(attending, None, None, memory, routing)
        lengths = _lengths(attending, positions) if self.rotary.by_length else positions
        rotation = self.rotary(positions, lengths)
        windowed = rotation if self.windowed is self.rotary else self.windowed(positions, lengths)
        return ForwardPass(attending, rotation, windowed, memory, routing)


def _lengths(attending: AttentionBackend, positions: Tensor) -> Tensor:
    """How long the text of each place is; an `AttentionBackend` whose row holds several may know it."""
    if isinstance(attending, PaddedAttention):
        return positions.amax(-1, keepdim=True) + 1
    lengths: Tensor | None = getattr(attending, "lengths", None)
    return positions + 1 if lengths is None else lengths.to(positions.device)


def _rotaries(config: TransformerConfig) -> tuple[Rotary | None, Rotary | None]:
    """Frequencies of layers that see everything, and of layers with a window."""
    if config.positions != "rotary":
        return None, None
    size = config.rotary_dim or config.head_size
    whole = Rotary(size, config.rope_theta, config.max_tokens, config.rope_scaling, config.rope_interleaved)
    if config.rope_theta_windowed is None:
        return whole, whole
    return whole, Rotary(size, config.rope_theta_windowed, config.max_tokens, interleaved=config.rope_interleaved)
