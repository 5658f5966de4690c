"""A model with the library's own cache: states that its modules keep are a text's."""

import tiny_own_cache
import torch

from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.sequence_cache import SequenceCache

LONG = [3 + (11 * at) % 90 for at in range(20)]


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
