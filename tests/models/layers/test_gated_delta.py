"""The gated delta rule: transformers' loop over tokens, in chunks, with states, and each document by itself."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers.models.qwen3_5.modeling_qwen3_5 import torch_recurrent_gated_delta_rule

from mmgen.models.layers.attention import PaddedAttention, VarlenAttention
from mmgen.models.layers.gated_delta import CHUNK, GatedDeltaNet, RecurrentState, _read
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.transformer_config import GatedDelta, TransformerConfig
from mmgen.training.packed_attention import PackedAttention

CONFIG = TransformerConfig(5, 16, 1, 2, 48, 6, delta=GatedDelta((True,), 2, 4, 8, 6), norm="rms", norm_eps=1e-6)


@pytest.fixture
def layer() -> GatedDeltaNet:
    torch.manual_seed(0)
    return GatedDeltaNet(CONFIG, 0)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_chunk_is_the_loop_over_its_tokens() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 11, 3, size) for size in (8, 8, 6))
    k, decay, step = torch.nn.functional.normalize(k, dim=-1), -torch.rand(2, 11, 3), torch.rand(2, 11, 3)
    memory = torch.randn(2, 3, 8, 6)
    expected, state = torch_recurrent_gated_delta_rule(q, k, v, decay, step, memory, True)
    rows = (q * 8**-0.5, k, v, decay[..., None], step[..., None])
    y, after = _read(memory, *(one.transpose(1, 2) for one in rows))
    close(y.transpose(1, 2), expected)
    close(after, state)


@pytest.mark.parametrize("counts", [(1,) * 9, (4, 1, 4), (3, CHUNK + 2, 1)])
def test_in_parts(layer: GatedDeltaNet, counts: Sequence[int]) -> None:
    """A state holds all that went before; the tokens of a part may be more or fewer than a chunk, or than the convolution's."""
    x = torch.randn(2, sum(counts), 16)
    whole, cache = layer(x, PaddedAttention()), GrowingCache()
    close(torch.cat([layer(part, PaddedAttention(cache=cache)) for part in x.split(counts, 1)], 1), whole)
    kept: RecurrentState = cache.states[0]
    assert kept.inputs.shape == (2, 56, 3) and kept.memory.shape == (2, 4, 8, 6)
    assert len(cache) == 0
    cache.frozen = True
    layer(x, PaddedAttention(cache=cache))
    assert cache.states[0] is kept


def test_each_text_by_itself(layer: GatedDeltaNet) -> None:
    """Rows that lie behind one another, and documents of a packed row, as alone; gradients go through both."""
    x, counts = torch.randn(1, 12, 16, requires_grad=True), (4, 4, 1, 3)
    alone = torch.cat([layer(part, PaddedAttention()) for part in x.split(counts, 1)], 1)
    close(layer(x, VarlenAttention.of(counts)), alone)
    documents = torch.tensor([[0] * 4 + [1] * 4 + [0] + [2] * 3])
    packed = layer(x, PackedAttention(documents))
    close(packed, alone)
    close(layer(x, PackedAttention()), layer(x, PaddedAttention()))
    packed.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and layer.log_decay.grad is not None
