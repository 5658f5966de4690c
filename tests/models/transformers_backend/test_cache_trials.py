"""What a model allows is tried, not assumed: parts, batches, zeros in front; and its cache is measured."""

import pytest
import tiny_own_cache
import torch

from mmgen.models.transformers_backend import cache_state
from mmgen.models.transformers_backend.own_cache import NO_LIMIT, OwnCacheLM
from mmgen.models.transformers_backend.sequence_cache import SequenceCache

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
