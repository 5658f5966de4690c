"""Baselines by hand."""

import pytest
import torch

from mmgen.training.rl.advantages import generalized, group_relative, leave_one_out, whitened


def test_group_relative() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    scaled = group_relative(rewards)
    assert scaled[0].tolist() == pytest.approx([0.5 / (0.57735 + 1e-4) * s for s in (1, -1, -1, 1)], rel=1e-4)
    assert (scaled[1] == 0).all() and group_relative(rewards, scaled=False)[0].tolist() == [0.5, -0.5, -0.5, 0.5]


def test_leave_one_out() -> None:
    assert leave_one_out(torch.tensor([[1.0, 2.0, 6.0]])).tolist() == [[-3.0, -1.5, 4.5]]
    assert leave_one_out(torch.tensor([[1.0]])).tolist() == [[0.0]]


def test_generalized_advantages() -> None:
    """Two tokens of an answer behind a prompt: errors from the end, each discounted and decayed."""
    rewards, values = torch.tensor([[0.0, 0.5, 1.0, 0.0]]), torch.tensor([[0.0, 0.2, 0.4, 0.0]])
    mask = torch.tensor([[False, True, True, False]])
    advantages, returns = generalized(rewards, values, mask, discount=0.9, decay=0.5)
    last = 1.0 - 0.4
    first = 0.5 + 0.9 * 0.4 - 0.2 + 0.9 * 0.5 * last
    assert advantages[0].tolist() == pytest.approx([0, first, last, 0])
    assert returns[0].tolist() == pytest.approx([0, first + 0.2, last + 0.4, 0])


def test_whitened() -> None:
    mask = torch.tensor([[True, True, True, False]])
    found = whitened(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), mask)
    assert found[0].tolist() == pytest.approx([-1, 0, 1, 0])
