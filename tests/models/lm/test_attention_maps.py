"""Captured weights are the ones that decoding used."""

from dataclasses import replace

import pytest
import torch
from transformer_configs import KINDS, LLAMA, close, ids, model

from mmgen.models.lm.attention_maps import attention_maps


@pytest.mark.parametrize("kind", ["plain", "window", "alibi", "softcap"])
def test_maps_are_distributions_over_what_is_seen(kind: str) -> None:
    maps = attention_maps(model(KINDS[kind]), ids(9)).own
    assert maps.shape == (2, 4, 9, 9)
    close(maps.sum(-1), torch.ones(2, 4, 9))
    assert maps.triu(1).abs().max() == 0 and maps[0, 0, 5].std() > 0.01
    if kind == "window":
        assert maps[0].tril(-4).max() == 0 and maps[1].tril(-4).max() > 0


def test_maps_equal_transformers() -> None:
    import checkpoints

    from mmgen.models.checkpoints.convert import TensorName
    from mmgen.models.lm import families
    from mmgen.models.lm.language_model import LanguageModel

    theirs = checkpoints.build(checkpoints.FAMILIES["gpt2"])
    theirs.set_attn_implementation("eager")
    family = families.FAMILIES["gpt2"]
    ours = LanguageModel(family.shape(theirs.config.to_dict())).eval()
    tensors, state = theirs.state_dict(), ours.state_dict()
    for name, entry in family.table(ours.config).items():
        assert isinstance(entry, TensorName)
        state[name].copy_(entry.joined([tensors[one] for one in entry.names]))
    text = torch.randint(3, 90, (11,))
    with torch.inference_mode():
        expected = theirs(text[None], output_attentions=True).attentions
    close(attention_maps(ours, text).own, torch.cat(expected))


def test_of_an_encoder_decoder() -> None:
    lm = model(replace(LLAMA, encoder=replace(LLAMA, causal=False)))
    maps = attention_maps(lm, ids(5), read=ids(7, seed=2))
    assert maps.memory is not None and maps.memory.shape == (2, 4, 5, 7)
    close(maps.memory.sum(-1), torch.ones(2, 4, 5))
