"""What every head looks at: the softmax weights of a whole pass. Knows tensors; not tokens' words or pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, EncoderMemory
from mmgen.models.layers.gated_delta import Scan
from mmgen.models.layers.sdpa import attention_weights, dot_product
from mmgen.models.lm.paged.model import PagedModel


@dataclass(frozen=True)
class AttentionMaps:
    """Weights of one text; rows of each head sum to one, or to less where the layer has sinks."""

    own: Tensor  # (layers, heads, N, N): the text's places over the text
    memory: Tensor | None = None  # (layers, heads, N, M): over what an encoder read


class AttentionRecorder:
    """In place of a mask: attends to the whole text by the layer's rules, and keeps the weights."""

    def __init__(self) -> None:
        self.weights: dict[int, Tensor] = {}

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        places = torch.arange(q.shape[2], device=q.device)
        mask = rules.mask(places, places)
        how: dict[str, Any] = {"scale": rules.scale, "softcap": rules.softcap, "sinks": rules.sinks}
        self.weights[rules.layer] = attention_weights(q, k, mask, **how)[0].float().cpu()
        return dot_product(q, k, v, mask, **how)

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`; there is nothing to draw of it."""
        return scan(x, None)[0]


class RecordedMemory(EncoderMemory):
    """A memory that keeps how it was read."""

    def __init__(self, memory: EncoderMemory) -> None:
        super().__init__(memory.states, memory.mask)
        self.weights: dict[int, Tensor] = {}

    def attend(self, rules: AttentionRules, q: Tensor, keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        k, _ = keys_values(self.states)
        self.weights[rules.layer] = (
            attention_weights(q, k, self.mask, scale=rules.scale, softcap=rules.softcap)[0].float().cpu()
        )
        return super().attend(rules, q, keys_values)


@torch.inference_mode()
def attention_maps(model: PagedModel, ids: Tensor, read: Tensor | None = None) -> AttentionMaps:
    """The maps of one text, prompt and answer, in one more pass: decoding itself pays nothing.

    Args:
        ids: (N,); of an encoder-decoder what the decoder wrote.
        read: (M,), of an encoder-decoder what the encoder read.
    """
    watching, memory = AttentionRecorder(), None if read is None else RecordedMemory(model.encode(read[None]))
    places = torch.arange(len(ids), device=ids.device)
    more: dict[str, Any] = {} if memory is None else {"memory": memory}
    model.read(ids[None], watching, places, places[-1:], **more)
    return AttentionMaps(_stacked(watching.weights), None if memory is None else _stacked(memory.weights))


def _stacked(weights: dict[int, Tensor]) -> Tensor:
    return torch.stack([weights[layer] for layer in sorted(weights)])
