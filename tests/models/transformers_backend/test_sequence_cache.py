"""Texts in one cache, and each with its own again."""

import tiny_own_cache
import torch

from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.sequence_cache import SequenceCache


@torch.inference_mode()
def test_texts_stay_stacked_until_they_part() -> None:
    lm = OwnCacheLM(tiny_own_cache.causal("mamba2"))
    caches, texts = [SequenceCache() for _ in range(3)], [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    for cache, ids in zip(caches, texts, strict=True):
        lm.read([(cache, ids[:2])])
    together, _ = lm.read(list(zip(caches, texts, strict=True)))
    stack = caches[0].stack
    assert stack is not None and all(cache.stack is stack for cache in caches)
    twin = caches[1].fork()
    assert caches[1].stack is None and caches[0].stack is stack and twin.length == 3
    for ids in texts:
        ids.append(12)
    (again, _), (forked, _) = lm.read(list(zip(caches, texts, strict=True))), lm.read([(twin, texts[1])])
    assert together.shape == again.shape == (3, tiny_own_cache.VOCABULARY)
    assert torch.allclose(forked[0], again[1], atol=1e-4)
    caches[2].forget()
    assert (caches[2].length, caches[2].state) == (0, {})
