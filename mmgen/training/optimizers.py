"""AdamW with weight decay on matrices only."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def adamw(model: nn.Module, *, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """Matrices of linear layers decay; norms, biases, embeddings and a head tied to them do not. Loshchilov and Hutter 2019."""
    kept = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    learned = [p for p in model.parameters() if p.requires_grad]
    decay = [p for p in learned if p.dim() > 1 and id(p) not in kept]
    rest = [p for p in learned if p.dim() <= 1 or id(p) in kept]
    groups: list[dict[str, Any]] = [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=betas, fused=True)
