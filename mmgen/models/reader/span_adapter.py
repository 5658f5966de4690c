"""What a store's feedback changes of the reader: low-rank additions to its span heads, some 90 KB. The transformer stays."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.cpu.batch_invariant import product

LARGEST = 64
"""Rank."""


class SpanAdapter(nn.Module):
    """LoRA (Hu et al. 2021) of the heads in span_heads.py: `B A x` beside each of their matrices, a vector beside each row.

    A new one changes nothing. It has no strength of its own: what is learned is what is added.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.query_down, self.query_up = _pair(width, rank, width)
        self.key_down, self.key_up = _pair(width, rank, width)
        self.stop_down, self.stop_up = _pair(2 * width, rank, width)
        self.place_row, self.end_row = nn.Parameter(torch.zeros(1, width)), nn.Parameter(torch.zeros(1, width))
        self.end_bias = nn.Parameter(torch.zeros(1))

    def query(self, first: Tensor) -> Tensor:
        """What is added to the question's query: (B, D) -> (B, D)."""
        return product(product(first, self.query_down), self.query_up)

    def key(self, asked: Tensor) -> Tensor:
        """What is added to `q K`, of a query q: (B, D) -> (B, D)."""
        return product(product(asked, self.key_up.T.contiguous()), self.key_down.T.contiguous())

    def place(self, prefix: Tensor) -> Tensor:
        """What is added to a place's bias: (B, S, D) -> (B, S)."""
        return product(prefix, self.place_row).squeeze(-1)

    def stop(self, both: Tensor) -> Tensor:
        """What is added within the stop head: (..., 2 D) -> (..., D)."""
        return product(product(both, self.stop_down), self.stop_up)

    def end(self, inner: Tensor) -> Tensor:
        """What is added to the stop head's logits: (..., D) -> (...)."""
        return product(inner, self.end_row, self.end_bias).squeeze(-1)

    def scaled(self, share: float) -> SpanAdapter:
        """One with `share` of all that this one adds."""
        made = SpanAdapter(self.query_down.shape[1], self.query_down.shape[0])
        state = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        made.load_state_dict({name: tensor if name.endswith("_down") else share * tensor for name, tensor in state.items()})
        return made

    def data(self) -> bytes:
        """As a safetensors file."""
        from safetensors.torch import save

        return save({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()})


@lru_cache(maxsize=64)
def loaded(data: bytes, width: int, device: str = "cpu") -> SpanAdapter:
    """An adapter from `SpanAdapter.data`, for a reader of that width: the same object for the same bytes.

    Raises BadWeights for other data.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        rank = len(tensors["query_down"])
        if not 0 < rank <= LARGEST or not all(bool(torch.isfinite(one).all()) for one in tensors.values()):
            raise ValueError(f"its rank is {rank} of at most {LARGEST}, or a weight is not finite")
        made = SpanAdapter(width, rank)
        made.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as why:
        line = str(why).splitlines()[0] if str(why) else type(why).__name__
        raise BadWeights(f"the store's reader adapter cannot be used ({line}); train it anew: mmgen rag learn") from None
    return made.requires_grad_(False).eval().to(device)


def _pair(width: int, rank: int, out: int) -> tuple[nn.Parameter, nn.Parameter]:
    """A, small and random, and B, zero."""
    return nn.Parameter(torch.randn(rank, width) / width**0.5), nn.Parameter(torch.zeros(out, rank))
