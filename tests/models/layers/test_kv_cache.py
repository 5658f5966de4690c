"""A growing KV cache: keys are concatenated, and a frozen one is read only."""

import torch

from mmgen.models.layers.kv_cache import GrowingCache


def test_it_grows_and_a_frozen_one_does_not() -> None:
    cache, keys, values = GrowingCache(), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    assert len(cache) == 0
    for start, stop in ((0, 2), (2, 5)):
        seen = cache.extend(0, keys[:, :, start:stop], values[:, :, start:stop])
        assert torch.equal(seen[0], keys[:, :, :stop]) and torch.equal(seen[1], values[:, :, :stop])
    assert len(cache) == 5
    cache.frozen = True
    more = torch.randn(2, 3, 1, 4)
    assert cache.extend(0, more, more)[0].shape == (2, 3, 6, 4) and len(cache) == 5
