"""Answers that share a prompt have the states, and give the gradients, of rows that each hold it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.transformer_config import GatedDelta
from mmgen.training.chunked_cross_entropy import IGNORED
from mmgen.training.packed_attention import PackedAttention
from mmgen.training.shared_prompts import ROUNDED, SharedPrompts

SHAPE = {
    "layers": 2, "hidden_size": 32, "heads": 2, "num_kv_heads": 1, "intermediate_size": 48, "vocab_size": 50,
    "max_tokens": 64, "causal": True, "norm_at": "pre",
}  # fmt: skip
ROWS = (((1, 2, 3), (4, 5)), ((1, 2, 3), (6,)), ((1, 2, 3), (4, 5, 7, 8)), ((9, 2), (3, 3)), ((1, 2, 3), (5, 6)))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """ROWS, prompts and answers, as a step holds them."""
    size = max(len(prompt) + len(answer) for prompt, answer in ROWS) - 1
    ids, targets = torch.zeros(len(ROWS), size, dtype=torch.long), torch.full((len(ROWS), size), IGNORED)
    for row, (prompt, answer) in enumerate(ROWS):
        whole = torch.tensor([*prompt, *answer])
        ids[row, : len(whole) - 1] = whole[:-1]
        targets[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return ids, targets


@pytest.mark.parametrize(
    "more",
    [
        {"positions": "rotary"}, {"positions": "alibi"}, {"positions": "learned"}, {"positions": "rotary", "window": 3},
        {"positions": "rotary", "norm": "rms", "delta": GatedDelta((True, False), 2, 4, 8, 6)},
    ],
    ids=["rotary", "alibi", "learned", "window", "recurrent"],
)  # fmt: skip
def test_equal_to_rows_of_their_own(more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    lm, (ids, targets) = LanguageModel(replace(transformer_config.load(SHAPE), **more)), batch()
    shared, mask = SharedPrompts.of(ids, targets), targets != IGNORED
    assert [group.sizes for group in shared.groups] == [(3, 1, 0, 3), (2, 1), (3, 1), (ROUNDED - 14,)]
    assert shared.ids.shape == (1, ROUNDED)
    found = lm.hidden(shared.ids, shared, positions=shared.positions)[0, shared.wanted]
    expected = lm.hidden(ids, PackedAttention(), positions=torch.arange(ids.shape[1]))[mask]
    assert torch.allclose(found, expected, atol=1e-5)
    slopes, gradients = torch.randn(found.shape), []
    for states in (found, expected):
        (states * slopes).sum().backward()
        gradients.append(lm.transformer.embed.words.weight.grad.clone())
        lm.zero_grad()
    assert torch.allclose(*gradients, atol=1e-4)


def test_in_bf16_as_near_as_rounding_lets() -> None:
    torch.manual_seed(0)
    lm, (ids, targets) = LanguageModel(transformer_config.load({**SHAPE, "positions": "rotary"})), batch()
    shared = SharedPrompts.of(ids, targets)
    exact = lm.hidden(shared.ids, shared, positions=shared.positions)
    with torch.autocast("cpu", torch.bfloat16):
        shared = SharedPrompts.of(ids, targets)
        found = lm.hidden(shared.ids, shared, positions=shared.positions)
    assert torch.allclose(found.float(), exact, atol=0.05)
