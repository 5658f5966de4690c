"""A cache of one batch: keys and values that grow by concatenation, and states; the paged one is lm/paged/attention.py."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.layers.gated_delta import RecurrentState


class GrowingCache:
    """One tensor of keys and one of values a layer, each (B, kv_heads, N, head width), that grow as passes go by."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.states: dict[int, RecurrentState] = {}  # of layers without keys and values
        self.frozen = False  # a frozen cache is read, and never grows: many continuations can share one prefix

    def __len__(self) -> int:
        """Tokens kept."""
        return next((keys.shape[2] for keys, _ in self.layers.values()), 0)

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values this layer's queries may see: what is kept, then the new ones."""
        if layer in self.layers:
            kept_keys, kept_values = self.layers[layer]
            keys, values = torch.cat((kept_keys, keys), dim=2), torch.cat((kept_values, values), dim=2)
        if not self.frozen:
            self.layers[layer] = (keys, values)
        return keys, values
