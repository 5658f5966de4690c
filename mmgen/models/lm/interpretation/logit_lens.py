"""Logit lens (nostalgebraist 2020): what a model would say if it stopped after each of its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.models.lm.language_model import LanguageModel


@dataclass(frozen=True)
class LensReading:
    """Row 0 is behind the embeddings, row l behind block l; the last row is the model's own prediction."""

    tokens: Tensor  # (layers + 1, N) the likeliest next token
    probabilities: Tensor  # (layers + 1, N) its probability


@torch.inference_mode()
def logit_lens(lm: LanguageModel, ids: Tensor) -> LensReading:
    """(N,) ids -> a reading of every place: the state through the final norm and the head."""
    states = block_inputs(lm, ids)
    tokens, probabilities = [], []
    norm = lm.transformer.norm
    for state in states:
        logits = lm.logits(state if norm is None else norm(state))
        best = logits.float().softmax(-1).max(-1)
        tokens.append(best.indices.cpu())
        probabilities.append(best.values.cpu())
    return LensReading(torch.stack(tokens), torch.stack(probabilities))


def block_inputs(lm: LanguageModel, ids: Tensor) -> list[Tensor]:
    """(N,) ids -> (N, D) states before the first block, and behind every one."""
    states: list[Tensor] = []

    def before(block: object, given: tuple[Tensor, ...]) -> None:
        states.append(given[0][0])

    def behind(block: object, given: tuple[Tensor, ...], made: Tensor) -> None:
        states.append(made[0])

    hooks = [lm.transformer.blocks[0].register_forward_pre_hook(before)]
    hooks += [block.register_forward_hook(behind) for block in lm.transformer.blocks]
    try:
        lm.hidden(ids[None])
    finally:
        for hook in hooks:
            hook.remove()
    return states
