"""Prefixes and answers side by side give what each gives alone, and what a masked computation gives."""

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules
from mmgen.models.layers.sdpa import dot_product
from mmgen.models.reader.prefix_attention import AnswerAttention, PrefixAttention

RULES = AttentionRules(0, scale=0.25)


def states(seed: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 1, 2, length, 16, generator=generator)
    return q, k, v


@torch.inference_mode()
def test_each_prefix_and_each_answer_as_if_alone() -> None:
    lengths, of, size = [5, 9, 5], [1, 0, 1], 3
    prefixes = PrefixAttention(lengths)
    packed = [states(n, length) for n, length in enumerate(lengths)]
    together = prefixes.attend(RULES, *(torch.cat(x, 2) for x in zip(*packed, strict=True)))
    assert prefixes.lengths.tolist() == [5] * 5 + [9] * 9 + [5] * 5
    for own, y in zip(packed, together.split(lengths, 2), strict=True):
        assert torch.equal(y, dot_product(*own, scale=0.25))
    answers = [states(10 + n, size) for n in range(len(of))]
    together = AnswerAttention(prefixes, of, size).attend(RULES, *(torch.cat(x, 2) for x in zip(*answers, strict=True)))
    for row, (q, k, v), y in zip(of, answers, together.split(size, 2), strict=True):
        keys, values = torch.cat((packed[row][1], k), 2), torch.cat((packed[row][2], v), 2)
        mask = torch.ones(size, lengths[row] + size, dtype=torch.bool).tril(lengths[row])
        assert torch.equal(y, dot_product(q, keys, values, mask, scale=0.25))


@torch.inference_mode()
def test_an_answer_of_one_token_sees_all() -> None:
    prefixes = PrefixAttention([4])
    _, kept, values = own = states(0, 4)
    prefixes.attend(RULES, *own)
    q, k, v = states(1, 1)
    expected = dot_product(q, torch.cat((kept, k), 2), torch.cat((values, v), 2), scale=0.25)
    assert torch.equal(AnswerAttention(prefixes, [0], 1).attend(RULES, q, k, v), expected)
