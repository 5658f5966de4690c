"""Masks, position by position against what they promise."""

import torch

from mmgen.models.layers.masks import BlockSparseMask, narrowed, packed_mask, padding_mask, prefix_mask


def test_narrowed() -> None:
    q, k = torch.arange(3, 6), torch.arange(6)
    assert narrowed(q, k) is None
    found = narrowed(q, k, causal=True, window=2, sparse=BlockSparseMask(2, 1, 1))
    expected = [[j <= i and j > i - 2 and (i // 2 == j // 2 or j < 2) for j in range(6)] for i in range(3, 6)]
    assert found is not None and found.tolist() == expected


def test_padding_and_packing() -> None:
    assert padding_mask(torch.tensor([1, 3]), 3)[:, 0, 0].tolist() == [[True, False, False], [True] * 3]
    documents = torch.tensor([[0, 0, 1]])
    assert packed_mask(documents)[0, 0].tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_a_prefix_sees_itself_both_ways_and_the_answer_is_causal() -> None:
    length, size, answer = 2, 3, 2
    found = prefix_mask(torch.tensor([length]), size, answer)[0, 0]
    for i in range(size + answer):
        for j in range(size + answer):
            assert bool(found[i, j]) == (j < length or (i >= size and size <= j <= i)), (i, j)
