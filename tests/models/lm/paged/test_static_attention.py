"""Attention over fixed shapes sees a text's own keys and nothing behind them."""

import torch

from mmgen.models.layers.attention import AttentionRules
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.static_attention import StaticAttention
from mmgen.models.transformer_config import TransformerConfig


def test_places_never_written_to_do_not_count() -> None:
    pool = KVPool(TransformerConfig(hidden_size=4, intermediate_size=4, heads=1, layers=1, max_tokens=64, vocab_size=8), 4)
    pool.keys[0].fill_(float("nan"))
    pool.values[0].fill_(float("nan"))
    attending = StaticAttention(pool, torch.tensor([[2, 0], [1, 3]]), torch.tensor([0, 0]))
    q, k, v = (torch.randn(1, 1, 2, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    out = attending.attend(AttentionRules(0, causal=True), q, k, v)
    torch.testing.assert_close(out, v)  # a text's first token sees itself alone
    assert torch.equal(pool.values[0][0, [32, 16]], v[0, 0])
    assert int(pool.values[0].isnan().all(-1).sum()) == 62
