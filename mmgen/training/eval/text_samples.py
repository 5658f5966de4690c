"""Sample text from a language model during training: one row, token by token."""

from __future__ import annotations

import torch

from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.sampling import candidates, pick
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.text_params import Sampling

SAMPLING = Sampling(temperature=0.8, top_p=0.95)


@torch.inference_mode()
def write(lm: LanguageModel, tokenizer: Tokenizer, prompt: str, tokens: int, end: int, seed: int = 0) -> str:
    """The prompt and what follows, `tokens` at most or up to the token `end`. The same seed gives the same text."""
    ids = tokenizer.encode(prompt).ids or [end]
    device, cache = lm.device, GrowingCache()
    rng, written, fresh = torch.Generator().manual_seed(seed), list(ids), list(ids)
    for _ in range(min(tokens, lm.config.max_tokens - len(ids))):
        hidden = lm.hidden(torch.tensor([fresh], device=device), cache=cache)
        drawn = candidates(lm.logits(hidden[:, -1]), SAMPLING)
        fresh = pick(drawn, torch.rand(1, generator=rng).tolist())
        if fresh[0] == end:
            break
        written += fresh
    return tokenizer.decode(written)
