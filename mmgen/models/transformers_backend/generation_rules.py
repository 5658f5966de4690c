"""What a checkpoint's generation_config.json demands of every text: tokens that are forced, forbidden or not repeated.

How tokens are drawn (temperature, beams, penalties) is a recommendation, see `text_model.recommended`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.models.lm.text_model import RULES


def rules_of(
    model: Any,
    prompt: int,
    max_tokens: int,
    ends: Collection[int],
    source: Sequence[int] | None = None,
    first: int | None = None,
) -> Callable[[Sequence[int], Tensor], Tensor] | None:
    """The rules of one text as a function of (ids so far, (V,) scores) -> (V,) scores; None where there are none.

    They are the library's own processors, so that they mean what they mean there.

    Args:
        model: of transformers.
        prompt: tokens before the text.
        ends: tokens that end it.
        source: what the encoder reads.
        first: the token that is forced to be the first, instead of the checkpoint's.
    """
    from transformers import GenerationConfig

    told = {name: value for name in RULES if (value := getattr(model.generation_config, name, None)) is not None}
    told |= {} if first is None else {"forced_bos_token_id": first}
    if not told:
        return None
    config = GenerationConfig(**told, max_length=prompt + max_tokens)
    config._eos_token_tensor = torch.tensor(sorted(ends), device=model.device) if ends else None
    processors = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=prompt,
        encoder_input_ids=None if source is None else torch.tensor([list(source)], device=model.device),
        device=model.device,
    )

    def rules(ids: Sequence[int], scores: Tensor) -> Tensor:
        given = torch.tensor([list(ids)], device=scores.device)
        return processors(given, scores[None].float())[0]  # type: ignore[no-any-return]

    return rules if len(processors) else None


def first_token(model: Any) -> int | None:
    """The token that every text begins with, whatever the scores say."""
    forced: int | None = model.generation_config.forced_bos_token_id
    return forced
