"""Rows side by side are rows alone."""

import pytest
import torch
import torch.nn.functional as F

from mmgen.models.layers.attention import AttentionRules, VarlenAttention, attend_rows
from mmgen.models.lm.transformer import Transformer, TransformerConfig


@pytest.mark.parametrize("lengths", [[3], [4, 4, 4], [1, 5, 5, 2, 5]])
def test_each_row_sees_itself_only(lengths: list[int]) -> None:
    q, k, v = torch.randn(3, 1, 2, sum(lengths), 8)
    rules = AttentionRules(0, scale=8**-0.5)
    together = VarlenAttention.of(lengths).attend(rules, q, k, v)
    parts = zip(*(x.split(lengths, 2) for x in (q, k, v)), strict=True)
    torch.testing.assert_close(together, torch.cat([F.scaled_dot_product_attention(*part) for part in parts], 2))


def test_runs_of_equal_length() -> None:
    assert VarlenAttention.of([7, 7, 2, 7]).runs == ((2, 7), (1, 2), (1, 7))


def test_through_the_transformer() -> None:
    torch.manual_seed(0)
    model = Transformer(
        TransformerConfig(vocab_size=50, hidden_size=16, layers=2, heads=2, intermediate_size=32, max_tokens=9)
    ).eval()
    rows = [torch.randint(50, (n,)) for n in (4, 9, 9, 1)]
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    with torch.inference_mode():
        together = model(torch.cat(rows)[None], VarlenAttention.of([4, 9, 9, 1]), positions=positions)
        torch.testing.assert_close(together, torch.cat([model(row[None]) for row in rows], 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [1, 7, 20])
def test_a_chunk_sees_itself(length: int) -> None:
    q, k, v = torch.randn(1, 4, length, 8), *torch.randn(2, 1, 2, 20, 8)
    y = attend_rows(AttentionRules(0, causal=True, scale=0.5, chunk=6), q, k, v)
    for row, place in enumerate(range(20 - length, 20)):
        own = slice(place // 6 * 6, place + 1)
        alone = F.scaled_dot_product_attention(q[:, :, row, None], k[:, :, own], v[:, :, own], scale=0.5, enable_gqa=True)
        torch.testing.assert_close(y[:, :, row, None], alone)


@pytest.mark.parametrize("length", [1, 7])
def test_sinks_are_one_more_key_of_no_value(length: int) -> None:
    sinks, q, k, v = torch.randn(4), torch.randn(1, 4, length, 8), *torch.randn(2, 1, 2, 9, 8)
    y = attend_rows(AttentionRules(0, causal=True, scale=0.5, sinks=sinks), q, k, v)
    scores = 0.5 * q @ k.repeat_interleave(2, 1).mT
    scores = scores.masked_fill(torch.ones(length, 9, dtype=torch.bool).triu(10 - length), float("-inf"))
    weights = torch.cat((scores, sinks.view(1, 4, 1, 1).expand(1, 4, length, 1)), -1).softmax(-1)
    torch.testing.assert_close(y, weights[..., :-1] @ v.repeat_interleave(2, 1))
