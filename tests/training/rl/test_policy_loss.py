"""Losses by hand; test_trl.py compares them with TRL's."""

import math

import pytest
import torch

from mmgen.training.rl.policy_loss import LossRules, divergence, policy_loss, value_loss

MASK = torch.tensor([[True, True, False], [False, True, False]])
NOW = torch.log(torch.tensor([[0.6, 0.5, 1.0], [1.0, 0.2, 1.0]]))
BEFORE = torch.log(torch.tensor([[0.5, 0.4, 1.0], [1.0, 0.4, 1.0]]))
ADVANTAGES = torch.tensor([[1.0, 1.0, 0.0], [0.0, -1.0, 0.0]])


def rules(algorithm: str, beta: float = 0.0, by_token: bool = False) -> LossRules:
    return LossRules(algorithm, beta, 0.2, 0.2, by_token)  # type: ignore[arg-type]


def test_ratios_are_clipped_by_token() -> None:
    """1.2 is at the border and 1.25 beyond it; a bad answer that became half as likely teaches no more."""
    found = policy_loss(NOW, BEFORE, None, ADVANTAGES, MASK, rules("grpo"), 1.5)
    assert float(found["loss"]) == pytest.approx((-(1.2 + 1.2) / 2 + 0.8) / 2)
    assert float(found["clipped"]) == pytest.approx(2 / 3) and "kl" not in found
    by_token = policy_loss(NOW, BEFORE, None, ADVANTAGES, MASK, rules("grpo", by_token=True), 1.5)
    assert float(by_token["loss"]) == pytest.approx((-1.2 - 1.2 + 0.8) / 3)


def test_an_answer_is_one_action() -> None:
    found = policy_loss(NOW, BEFORE, None, ADVANTAGES, MASK, rules("rloo"), 1.5)
    assert float(found["loss"]) == pytest.approx((-1.2 + 0.8) / 2), "1.5 and 0.5 are clipped"


def test_divergence_is_a_part_of_the_loss() -> None:
    reference = torch.log(torch.tensor([[0.3, 0.5, 1.0], [1.0, 0.2, 1.0]]))
    apart = math.exp(math.log(0.5)) - math.log(0.5) - 1
    assert divergence(NOW, reference)[0].tolist() == pytest.approx([apart, 0, 0])
    plain = policy_loss(NOW, NOW, None, ADVANTAGES, MASK, rules("grpo"), 1.5)["loss"]
    found = policy_loss(NOW, NOW, reference, ADVANTAGES, MASK, rules("grpo", beta=0.5), 1.5)
    assert float(found["loss"] - plain) == pytest.approx(0.5 * apart / 2 / 2)
    assert float(found["kl"]) == pytest.approx(apart / 3)


def test_values_are_held_near_to_what_they_were() -> None:
    values, before, returns = (torch.tensor([[x]]) for x in (1.0, 0.0, 2.0))
    assert float(value_loss(values, before, returns, torch.tensor([[True]]), 0.2, 1)) == pytest.approx(0.5 * 1.8**2)
