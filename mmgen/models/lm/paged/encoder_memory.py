"""What the decoders of a pass read beside their own texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, EncoderMemory


class EncoderMemories(EncoderMemory):
    """What the encoder read of each text in a pass, as one `EncoderMemory` for the decoder's row (1, N)."""

    def __init__(self, parts: Sequence[tuple[EncoderMemory, int]]) -> None:
        self.parts = parts  # a text's memory, and how many of its tokens are in the row

    def attend(self, rules: AttentionRules, q: Tensor, keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        rows = q.split([count for _, count in self.parts], 2)
        return torch.cat([part.attend(rules, row, keys_values) for (part, _), row in zip(self.parts, rows, strict=True)], 2)
