"""Cross entropy of a language model without materialising all logits: head and softmax run in chunks of positions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.lm.language_model import LanguageModel

IGNORED = -100
"""The ignore index: a target without loss."""
PARTS = {"cpu": 512}
"""Positions per chunk: the logits then fit into the CPU cache, which takes a third of the time."""
ELSEWHERE = 8192


class HeadLoss(torch.autograd.Function):
    """Sum of `-log softmax(hidden weight')[target]`. Gradients are computed in the forward pass, while the logits exist."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, part: int) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        total, small = hidden.new_zeros((), dtype=torch.float32), weight.to(dtype)
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for first in range(0, len(targets), part):
            places = slice(first, first + part)
            h, y = hidden[places].to(dtype), targets[places]
            counts = (y != IGNORED)[:, None]  # (P, 1)
            target = y.clamp(min=0)[:, None]
            chances = F.linear(h, small).float().softmax(-1)  # (P, V); softmax is vectorised on every CPU, exp is not
            total -= (chances.gather(1, target).clamp(min=1e-37).log() * counts).sum()
            if to_hidden is None and to_weight is None:
                continue
            slope = chances.scatter_add_(1, target, -torch.ones_like(target, dtype=torch.float32)).mul_(counts).to(dtype)
            if to_hidden is not None:
                to_hidden[places] = slope @ small
            if to_weight is not None:
                to_weight += slope.T @ h
        ctx.save_for_backward(to_hidden, to_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        made = (None if one is None else slopes[0].to(one.dtype) * one for one in ctx.saved_tensors)
        to_hidden, to_weight = made
        return to_hidden, to_weight, None, None


def loss_of(lm: LanguageModel, hidden: Tensor, targets: Tensor, part: int = 0) -> Tensor:
    """Mean nats over targets that are not IGNORED. `hidden`: (B, N, D); `targets`: (B, N), IGNORED without loss.
    `part`: positions per chunk; 0: the device's default."""
    flat, wanted = hidden.flatten(0, 1), targets.flatten()
    config = lm.config
    if config.head_bias or config.head_transform or config.head_scale != 1 or config.head_softcap is not None:
        return F.cross_entropy(lm.logits(flat).float(), wanted, ignore_index=IGNORED)
    part = part or PARTS.get(hidden.device.type, ELSEWHERE)
    total: Tensor = HeadLoss.apply(flat, lm.head.weight, wanted, part)
    return total / (wanted != IGNORED).sum().clamp(min=1)
