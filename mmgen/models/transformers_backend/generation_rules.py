"""What a checkpoint's generation_config.json demands of every text: tokens that are forced, forbidden or not repeated.

How tokens are drawn (temperature, beams, penalties) is a recommendation, see `text_model.recommended`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


def rules_of(
    told: Mapping[str, Any],
    prompt: int,
    max_tokens: int,
    ends: Collection[int],
    source: Sequence[int] | None = None,
    first: int | None = None,
    device: torch.device | str = "cpu",
) -> Callable[[Sequence[int], Tensor], Tensor] | None:
    """The rules of one text as a function of (ids so far, (V,) scores) -> (V,) scores; None where there are none.

    They are the library's own processors, so that they mean what they mean there, whoever's layers run the model.

    Args:
        told: see `text_model.demanded`.
        prompt: tokens before the text.
        ends: tokens that end it.
        source: what the encoder reads.
        first: the token that is forced to be the first, instead of the checkpoint's.
        device: of the scores.
    """
    told = {**told, **({} if first is None else {"forced_bos_token_id": first})}
    if not told:
        return None
    from transformers import GenerationConfig, GenerationMixin

    config = GenerationConfig(**told, max_length=prompt + max_tokens)
    config._eos_token_tensor = torch.tensor(sorted(ends), device=device) if ends else None
    model: Any = GenerationMixin()
    model.config = SimpleNamespace(is_encoder_decoder=source is not None)  # all that is asked of one
    processors = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=prompt,
        encoder_input_ids=None if source is None else torch.tensor([list(source)], device=device),
        device=device,
    )

    def rules(ids: Sequence[int], scores: Tensor) -> Tensor:
        given = torch.tensor([list(ids)], device=scores.device)
        return processors(given, scores[None].float())[0]  # type: ignore[no-any-return]

    return rules if len(processors) else None
