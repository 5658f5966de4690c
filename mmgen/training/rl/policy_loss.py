"""Losses of policies: clipped ratios by token or by answer, the KL divergence to a reference, and a clipped value loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Algorithm = Literal["grpo", "rloo", "ppo"]


@dataclass(frozen=True)
class LossRules:
    """What a recipe says of its loss."""

    algorithm: Algorithm
    beta: float  # weight of the KL divergence: GRPO's is a part of the loss, the others' of the rewards
    clip_low: float  # how far a ratio may fall below 1, and rise above it, before it teaches no more
    clip_high: float
    by_token: bool  # GRPO: the mean over all tokens of a step (DAPO), instead of over each answer's and then over answers


def policy_loss(
    now: Tensor, before: Tensor, reference: Tensor | None, advantages: Tensor, mask: Tensor, rules: LossRules, tokens: float
) -> dict[str, Tensor]:
    """The loss of answers, a share of a step's.

    Args:
        now, before: (B, N) log-probabilities of tokens, by the policy that learns and by the one that wrote them.
        reference: the same by the model that it should stay near to; None: `beta` is 0.
        advantages: (B, N); of an answer the same at all its tokens, but with PPO.
        mask: (B, N) true where a token is the answer's.
        rules: of the recipe.
        tokens: of an answer in the mean over the step, for a mean over tokens.

    Returns: loss, and for reports kl (nats a token, the estimator k3 of Schulman 2020), clipped (share) and ratio.
    """
    counts = mask.sum(1).clamp(min=1)
    log_ratio = (now - before) * mask
    if rules.algorithm == "rloo":  # an answer is one action
        ratio, advantage = log_ratio.sum(1).exp(), (advantages * mask).sum(1) / counts
        taken = _clipped(ratio, advantage, rules)
        loss, clipped = taken.mean(), _is_clipped(ratio, advantage, rules).float().mean()
    else:
        ratio = log_ratio.exp()
        each = _clipped(ratio, advantages, rules)
        if rules.algorithm == "grpo" and reference is not None:
            each = each + rules.beta * ratio * divergence(now, reference)  # times the ratio: DeepSeek-V3.2, arXiv 2512.02556
        each = each * mask
        by_token = rules.by_token or rules.algorithm == "ppo"
        loss = each.sum() / (tokens * len(mask)) if by_token else (each.sum(1) / counts).mean()
        clipped = (_is_clipped(ratio, advantages, rules) & mask).sum() / counts.sum()
    told = {"loss": loss, "clipped": clipped.detach()}
    if reference is not None:
        told["kl"] = (divergence(now.detach(), reference) * mask).sum() / counts.sum()
    return told


def divergence(now: Tensor, reference: Tensor) -> Tensor:
    """KL(now || reference) of each token by the estimator that is never negative: `exp(d) - d - 1`, d = reference - now."""
    difference = reference - now
    return difference.exp() - difference - 1


def value_loss(values: Tensor, before: Tensor, returns: Tensor, mask: Tensor, clip: float, tokens: float) -> Tensor:
    """Half the squared error, the larger of that of the values and of the values held within `clip` of those before."""
    held = before + (values - before).clamp(-clip, clip)
    worst = torch.maximum((values - returns) ** 2, (held - returns) ** 2)
    return 0.5 * (worst * mask).sum() / (tokens * len(mask))


def _clipped(ratio: Tensor, advantages: Tensor, rules: LossRules) -> Tensor:
    """The pessimistic one of both surrogates, negative; Schulman et al. 2017 (arXiv 1707.06347), eq. 7."""
    return -torch.min(ratio * advantages, ratio.clamp(1 - rules.clip_low, 1 + rules.clip_high) * advantages)


def _is_clipped(ratio: Tensor, advantages: Tensor, rules: LossRules) -> Tensor:
    return ((ratio < 1 - rules.clip_low) & (advantages < 0)) | ((ratio > 1 + rules.clip_high) & (advantages > 0))
