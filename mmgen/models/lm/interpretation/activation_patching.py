"""Activation patching (Vig et al. 2020; Meng et al. 2022): which states carry the difference between two prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.models.lm.interpretation.logit_lens import block_inputs
from mmgen.models.lm.language_model import LanguageModel


@torch.inference_mode()
def patched(lm: LanguageModel, clean: Tensor, corrupted: Tensor, answer: int, instead: int) -> Tensor:
    """How much of the clean prompt's answer comes back when one state of the corrupted prompt's pass is replaced by its.

    Args:
        clean, corrupted: (N,) ids each; texts of the same number of tokens.
        answer, instead: the tokens that the clean and the corrupted prompt should be followed by.

    Returns:
        (layers, N): 0 the corrupted difference of both logits, 1 the clean one, for the state behind a block at a place.

    Raises:
        BadRequest: prompts of different lengths, or ones between which the model makes no difference.
    """
    if len(clean) != len(corrupted):
        raise BadRequest(f"the prompts are {len(clean)} and {len(corrupted)} tokens; they should be of the same number")
    states = block_inputs(lm, clean)[1:]
    good, bad = (_difference(lm, ids, answer, instead) for ids in (clean, corrupted))
    if abs(good - bad) < 1e-6:
        raise BadRequest("the model makes no difference between the prompts; take others, or other answers")
    found = torch.zeros(len(states), len(clean))
    for layer, state in enumerate(states):
        for place in range(len(clean)):

            def replace(block: object, given: object, made: Tensor, place: int = place, state: Tensor = state) -> Tensor:
                changed = made.clone()
                changed[0, place] = state[place]
                return changed

            hook = lm.transformer.blocks[layer].register_forward_hook(replace)
            try:
                found[layer, place] = (_difference(lm, corrupted, answer, instead) - bad) / (good - bad)
            finally:
                hook.remove()
    return found


def _difference(lm: LanguageModel, ids: Tensor, answer: int, instead: int) -> float:
    logits = lm.logits(lm.hidden(ids[None])[0, -1]).float()
    return float(logits[answer] - logits[instead])
