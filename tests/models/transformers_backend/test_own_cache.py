"""What a model allows is tried, not assumed: parts, batches, zeros in front; and its cache is measured."""

import pytest
import tiny_own_cache
import torch

from mmgen.models.transformers_backend import cache_state
from mmgen.models.transformers_backend.own_cache import NO_LIMIT, OwnCacheLM, SequenceCache

LONG = [3 + (11 * at) % 90 for at in range(20)]


@pytest.mark.parametrize(
    ("name", "chunks", "stacks", "pads"),
    [
        ("falcon_h1", True, True, True),
        ("jamba", False, True, True),  # the library reads on from a state by single tokens alone
        ("rwkv", True, False, False),  # the library mixes rows of a batch
        ("recurrent_gemma", False, True, False),  # states are kept by its modules
    ],
)
def test_what_a_model_allows_is_tried(name: str, chunks: bool, stacks: bool, pads: bool) -> None:
    lm = OwnCacheLM(tiny_own_cache.causal(name))
    assert (lm.chunks, lm.stacks, lm.pads) == (chunks, stacks, pads)


@pytest.mark.parametrize(
    ("name", "pads"),
    [("t5", True), ("bart", False)],  # positions of bart's decoder are counted from the cache's beginning
)
def test_what_an_encoder_decoder_allows_is_tried(name: str, pads: bool) -> None:
    lm = OwnCacheLM(tiny_own_cache.seq2seq(name))
    assert (lm.chunks, lm.stacks, lm.pads) == (True, True, pads)


@pytest.mark.parametrize("name", ["falcon_h1", "mamba", "recurrent_gemma"])
@torch.inference_mode()
def test_its_size_is_that_of_the_cache(name: str) -> None:
    lm, cache = OwnCacheLM(tiny_own_cache.causal(name)), SequenceCache()
    lm.read([(cache, LONG)])
    assert cache_state.nbytes(cache.state) <= lm.size.of(len(LONG), 0)
    assert (lm.size.token == 0) == (name == "mamba") and lm.config.vocab_size == tiny_own_cache.VOCABULARY
    assert (lm.config.max_tokens == NO_LIMIT) == (name != "falcon_h1")


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


@torch.inference_mode()
def test_states_that_modules_keep_belong_to_a_text() -> None:
    lm = OwnCacheLM(tiny_own_cache.causal("recurrent_gemma"))
    assert {name for _, name in lm.held} == {"recurrent_states", "conv1d_state"}
    alone, _ = lm.read([(SequenceCache(), [5])])
    cache = SequenceCache()
    lm.read([(cache, LONG[:-1])])
    lm.read([(SequenceCache(), LONG[3:])])
    whole, _ = lm.read([(cache, LONG)])
    assert torch.equal(lm.read([(SequenceCache(), [5])])[0], alone), "of no text before it"
    other = SequenceCache()
    lm.read([(other, LONG[:-1])])
    assert torch.equal(lm.read([(other, LONG)])[0], whole)
