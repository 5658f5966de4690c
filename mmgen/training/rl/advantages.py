"""How much better an answer is than what was to be expected: the baselines of GRPO, RLOO and PPO."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-4
"""Added to a standard deviation."""


def group_relative(rewards: Tensor, scaled: bool = True) -> Tensor:
    """GRPO: (prompts, answers) -> the same, less the prompt's mean; Shao et al. 2024 (arXiv 2402.03300), 4.1.2.

    `scaled`: divided by the prompt's standard deviation; without it questions of all difficulties weigh the same (Liu et al.
    2025, arXiv 2503.20783).
    """
    centered = rewards - rewards.mean(1, keepdim=True)
    if not scaled or rewards.shape[1] < 2:
        return centered
    return centered / (rewards.std(1, keepdim=True) + EPSILON)


def leave_one_out(rewards: Tensor) -> Tensor:
    """RLOO: (prompts, answers) -> each less the mean of the prompt's others; Ahmadian et al. 2024 (arXiv 2402.14740)."""
    others = rewards.shape[1] - 1
    if others < 1:
        return torch.zeros_like(rewards)
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / others


def generalized(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, decay: float) -> tuple[Tensor, Tensor]:
    """GAE of PPO: a token's advantage and the return that its value should have been; Schulman et al. 2016, eq. 16.

    Args:
        rewards, values: (B, N) of tokens.
        mask: (B, N) true where a token is the answer's; these stand together.
        discount, decay: gamma and lambda there.

    Returns: (B, N) twice, 0 outside the answers.
    """
    advantages, later = torch.zeros_like(rewards), rewards.new_zeros(len(rewards))
    for place in reversed(range(rewards.shape[1])):
        last = place + 1 == rewards.shape[1]
        following = rewards.new_zeros(len(rewards)) if last else values[:, place + 1] * mask[:, place + 1]
        error = rewards[:, place] + discount * following - values[:, place]
        later = (error + discount * decay * later) * mask[:, place]
        advantages[:, place] = later
    return advantages, (advantages + values) * mask


def whitened(values: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 where the mask is true; 0 elsewhere."""
    chosen = values[mask]
    if len(chosen) < 2:
        return values * mask
    return (values - chosen.mean()) / (chosen.std() + 1e-8) * mask
