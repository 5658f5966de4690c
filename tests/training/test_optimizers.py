"""Which parameters decay."""

import torch
from torch import nn

from mmgen.training.optimizers import adamw


def test_matrices_decay_and_norms_biases_embeddings_do_not() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    model[2].bias.requires_grad_(False)
    decay, rest = adamw(model, weight_decay=0.1, betas=(0.9, 0.95)).param_groups
    assert decay["weight_decay"] == 0.1 and [tuple(p.shape) for p in decay["params"]] == [(3, 4)]
    assert rest["weight_decay"] == 0 and len(rest["params"]) == 3  # the embedding, the norm's weight and bias
    assert not any(p is model[2].bias for p in rest["params"])


def test_a_tied_head_does_not_decay() -> None:
    embedding, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    head.weight = embedding.weight
    (group,) = adamw(nn.ModuleList([embedding, head]), weight_decay=0.1, betas=(0.9, 0.95)).param_groups
    assert group["weight_decay"] == 0 and isinstance(group["params"][0], torch.Tensor)
