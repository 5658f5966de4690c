"""Caches of texts of other lengths, stacked and taken apart again."""

import pytest
import torch
from transformers.cache_utils import (
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
    LinearAttentionLayer,
)

from mmgen.models.transformers_backend import cache_state
from mmgen.models.transformers_backend.cache_state import Unstackable


def kept(length: int, window: int = 4) -> DynamicCache:
    """Of a text: a layer of all its tokens, one of a window, and a recurrent one."""
    cache = DynamicCache()
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(window), LinearAttentionLayer()]
    for _ in range(length):
        grow(cache)
    return cache


def crossed(source: int) -> DynamicCache:
    """What a decoder knows of its source."""
    return DynamicCache([(torch.randn(1, 2, source, 3), torch.randn(1, 2, source, 3))])


def grow(cache: DynamicCache, rows: int = 1) -> None:
    for layer in cache.layers[:2]:
        layer.update(torch.randn(rows, 2, 1, 3), torch.randn(rows, 2, 1, 3))
    cache.layers[2].update_recurrent_state(torch.randn(rows, 2, 3))


def same(one: DynamicCache, other: DynamicCache) -> bool:
    pairs = list(zip(cache_state.tensors(one), cache_state.tensors(other), strict=True))
    counts = [layer.cumulative_length for cache in (one, other) for layer in cache.layers[1:2]]
    return counts[0] == counts[1] and all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def test_a_row_of_a_stack_is_what_it_was() -> None:
    torch.manual_seed(0)
    caches = [kept(length) for length in (2, 6, 3)]
    stacked = cache_state.stack(*caches)
    assert stacked.layers[0].keys.shape == (3, 2, 6, 3) and stacked.layers[1].keys.shape == (3, 2, 3, 3)
    assert torch.equal(stacked.layers[0].keys[0, :, :4], torch.zeros(2, 4, 3)), "zeros in front"
    for at, (cache, length) in enumerate(zip(caches, (2, 6, 3), strict=True)):
        assert same(cache_state.row(stacked, at, length), cache)


def test_a_stack_grows_and_rows_are_as_long_as_their_texts() -> None:
    torch.manual_seed(0)
    stacked = cache_state.stack(kept(2), kept(6))
    grow(stacked, rows=2)
    short = cache_state.row(stacked, 0, 3)
    assert [layer.keys.shape[2] for layer in short.layers[:2]] == [3, 3]
    assert torch.equal(short.layers[0].keys, stacked.layers[0].keys[:1, :, -3:]) and short.layers[1].cumulative_length == 3


def test_an_encoder_decoder_keeps_its_source() -> None:
    torch.manual_seed(0)
    caches = [EncoderDecoderCache(kept(length), crossed(source)) for length, source in ((2, 5), (3, 7))]
    stacked = cache_state.stack(*caches)
    for at, (length, source) in enumerate(((2, 5), (3, 7))):
        row = cache_state.row(stacked, at, length, source)
        assert same(row.self_attention_cache, caches[at].self_attention_cache)
        one, other = (each.cross_attention_cache.layers[0].keys for each in (row, caches[at]))
        assert torch.equal(one, other)
    assert cache_state.pads(DynamicCache()) and not cache_state.pads([torch.zeros(1)])


def test_a_clone_is_on_its_own() -> None:
    cache = kept(3)
    twin = cache_state.clone(cache)
    assert same(twin, cache) and cache_state.nbytes(twin) == cache_state.nbytes(cache) > 0
    cache.layers[2].update_recurrent_state(torch.ones(1, 2, 3))
    assert not same(twin, cache)


def test_lists_of_states_are_stacked_and_what_differs_is_not() -> None:
    states = [[torch.full((1, 2), float(number)), {"conv": torch.zeros(1, 3)}] for number in range(2)]
    assert cache_state.stack(*states)[0].tolist() == [[0, 0], [1, 1]]
    for other in ([torch.zeros(1, 4), {"conv": torch.zeros(1, 3)}], [torch.zeros(1, 2)], [torch.zeros(1, 2), {"c": None}]):
        with pytest.raises(Unstackable):
            cache_state.stack(states[0], other)
    with pytest.raises(Unstackable):
        cache_state.stack({"step": "a"}, {"step": "b"})
