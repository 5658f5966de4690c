"""Attention over the paged KV cache in tensors of fixed shape, of which a CUDA graph can be recorded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules
from mmgen.models.layers.sdpa import dot_product
from mmgen.models.lm.paged.block_manager import SIZE
from mmgen.models.lm.paged.kv_pool import KVPool


class StaticAttention:
    """Attention backend of one new token of each of B texts, whose keys are read by block numbers.

    `PagedAttention` has Python cut each text's keys out of the pool by its length. Here texts are as long as the widest may be,
    and those shorter than that are masked: the same kernels run in every pass, so that a recorded pass can be replayed.
    """

    def __init__(self, pool: KVPool, blocks: Tensor, positions: Tensor) -> None:
        """
        Args:
            blocks: (B, M) numbers of each text's blocks; what stands behind its last one is not read.
            positions: (B,) of the new token in its text, below `M * SIZE`.
        """
        self.pool, self.positions = pool, positions
        self.places = torch.arange(blocks.shape[1] * SIZE, device=blocks.device)
        # beyond a text its new token is read again, as a place never written to may hold NaN, and 0 x NaN is NaN
        index = torch.minimum(self.places, positions[:, None])
        self.slots = blocks.gather(1, index // SIZE) * SIZE + index % SIZE  # (B, places)
        self.new = self.slots.gather(1, positions[:, None])[:, 0]
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (1, heads, B, d), new k and v (1, kv_heads, B, d) -> (1, heads, B, d)"""
        keys, values = self.pool.keys[rules.layer], self.pool.values[rules.layer]
        keys.index_copy_(1, self.new, k[0].to(keys.dtype))
        values.index_copy_(1, self.new, v[0].to(values.dtype))
        k, v = (into[:, self.slots].transpose(0, 1) for into in (keys, values))  # (B, kv_heads, places, d)
        query = q[0].transpose(0, 1)[:, :, None]  # (B, heads, 1, d)
        y = dot_product(query, k, v, self._mask(rules), scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks)
        return y[:, :, 0].transpose(0, 1)[None]

    def _mask(self, rules: AttentionRules) -> Tensor:
        """(B, 1, 1, places)"""
        if rules.window not in self._masks:
            seen = self.places <= self.positions[:, None]
            if rules.window is not None:
                seen &= self.places > self.positions[:, None] - rules.window
            self._masks[rules.window] = seen[:, None, None]
        return self._masks[rules.window]


def obstacle(lm: Any) -> str:
    """Why a pass of this model cannot be recorded: where Python or the host decides by what tensors hold; empty: it can."""
    from mmgen.models.lm.language_model import LanguageModel

    if not isinstance(lm, LanguageModel):
        return "its layers are another library's"
    config, rotary = lm.config, lm.transformer.rotary
    if config.encoder is not None:
        return "it reads an encoder's states"
    if config.state_bytes:
        return "it has recurrent layers"
    if any(block.mixed for block in lm.transformer.blocks):
        return "its experts are called by the host"
    if rotary is not None and (rotary.by_length or (rotary.scaling and rotary.scaling.attention_beta)):
        return "its rotary frequencies depend on how long a text is"
    blocks: list[Any] = list(lm.transformer.blocks)
    rules: list[AttentionRules] = [block.attention.rules for block in blocks]
    if any(one.bias is not None or one.sparse is not None or one.chunk is not None or not one.causal for one in rules):
        return "its attention has a bias, blocks or chunks"
    return ""
