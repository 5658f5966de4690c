"""Attention over the pool is the plain attention of every text alone, however its blocks lie."""

import pytest
import torch

from mmgen.models.layers.attention import AttentionRules, attend_rows
from mmgen.models.lm.paged.attention import FEW, LONG, PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import SIZE, BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.transformer_config import TransformerConfig

HEADS, GROUPS, D = 4, 2, 16
CONFIG = TransformerConfig(
    vocab_size=10, hidden_size=HEADS * D, layers=2, heads=HEADS, num_kv_heads=GROUPS, intermediate_size=8, max_tokens=256
)
RULES = {
    "plain": AttentionRules(1, causal=True, scale=0.3),
    "window": AttentionRules(1, causal=True, scale=0.3, window=21),
    "softcap": AttentionRules(1, causal=True, scale=0.3, softcap=2.0),
    "sinks": AttentionRules(1, causal=True, scale=0.3, window=21, sinks=torch.linspace(-1, 3, HEADS)),
    "chunk": AttentionRules(1, causal=True, scale=0.3, chunk=13),
    "bias": AttentionRules(
        1, causal=True, scale=0.3, bias=lambda q, k: (k[None] - q[:, None]).float().expand(HEADS, -1, -1) / 9
    ),
}


class Text:
    """A text's queries, keys and values, and what its attention is without a pool."""

    def __init__(self, length: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.q = torch.randn(1, HEADS, length, D, generator=generator)
        self.k, self.v = torch.randn(2, 1, GROUPS, length, D, generator=generator)

    def plain(self, rules: AttentionRules, start: int, stop: int) -> torch.Tensor:
        return attend_rows(rules, self.q[:, :, start:stop], self.k[:, :, :stop], self.v[:, :, :stop])


def run(pool: KVPool, rules: AttentionRules, reads: list[tuple[BlockTable, Text, int]]) -> list[torch.Tensor]:
    """One pass; the outputs of every text's new places."""
    for table, _, count in reads:
        assert pool.extend(table, count) is not None
    paged = PagedAttention(pool, [PagedSequence(table, count) for table, _, count in reads])
    parts = [[x[:, :, t.length : t.length + n] for x in (text.q, text.k, text.v)] for t, text, n in reads]
    y = paged.attend(rules, *(torch.cat(column, 2) for column in zip(*parts, strict=True)))
    for table, _, count in reads:
        table.length += count
    return list(y.split([count for _, _, count in reads], 2))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("want", [0, 100], ids=["gathered", "viewed"])
def test_chunks_and_single_tokens_of_many_texts(rules: AttentionRules, want: int) -> None:
    pool = KVPool(CONFIG, 40)
    texts = [Text(length, seed) for seed, length in enumerate((50, 33, 70))]
    tables = [BlockTable(want) for _ in texts]
    steps = [(17, 1, 30), (1, 1, 1), (20, 16, 1), (1, 1, 25), (1, 1, 1)]
    for counts in steps:
        reads = list(zip(tables, texts, counts, strict=True))
        starts = [table.length for table in tables]
        for (_, text, count), start, y in zip(reads, starts, run(pool, rules, reads), strict=True):
            torch.testing.assert_close(y, text.plain(rules, start, start + count))
    assert [len(table.runs) == 1 for table in tables] == [want > 0] * 3


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_the_bits_do_not_depend_on_company(rules: AttentionRules) -> None:
    def outputs(company: bool) -> list[torch.Tensor]:
        pool, text = KVPool(CONFIG, 40), Text(40, 1)
        table, other = BlockTable(80), BlockTable(80)
        found = []
        for count in (20, 1, 1, 18):
            reads = [(table, text, count)] + ([(other, Text(40, 2), 3)] if company else [])
            found.append(run(pool, rules, reads)[0])
        return found

    assert all(torch.equal(a, b) for a, b in zip(outputs(True), outputs(False), strict=True))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("length", [SIZE * 2, SIZE * 2 + 5, LONG, LONG + 25])
def test_a_fork_copies_what_it_writes_and_shares_the_rest(rules: AttentionRules, length: int) -> None:
    pool = KVPool(CONFIG, 80)
    one, other = Text(200, 1), Text(200, 2)
    for x, y in ((one.q, other.q), (one.k, other.k), (one.v, other.v)):
        y[:, :, :length] = x[:, :, :length]
    table = BlockTable(200)
    run(pool, rules, [(table, one, length)])
    fork, whole = pool.fork(table, 200), length // SIZE
    at, to = length, length
    for counts in ((3, 1), (1, 9), (FEW + 1, FEW + 1), (16, 30), (1, 1)):
        ys = run(pool, rules, [(table, one, counts[0]), (fork, other, counts[1])])
        torch.testing.assert_close(ys[0], one.plain(rules, at, at + counts[0]))
        torch.testing.assert_close(ys[1], other.plain(rules, to, to + counts[1]))
        at, to = at + counts[0], to + counts[1]
    assert table.blocks[:whole] == fork.blocks[:whole]
    assert not set(table.blocks[whole:]) & set(fork.blocks[whole:])
    assert len(fork.runs) == 2


def test_a_cut_text_goes_on_differently() -> None:
    pool, rules, text = KVPool(CONFIG, 40), RULES["plain"], Text(60, 1)
    table = BlockTable(60)
    run(pool, rules, [(table, text, 40)])
    pool.cut(table, 30)
    torch.testing.assert_close(run(pool, rules, [(table, text, 1)])[0], text.plain(rules, 30, 31))
