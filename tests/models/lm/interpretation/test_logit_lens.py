"""The last row is the model's own prediction; the first knows the word alone."""

from pathlib import Path

import tiny_lm
import torch

from mmgen.models.lm.interpretation.logit_lens import block_inputs, logit_lens
from mmgen.models.lm.text_model import TextModel


def test_lens(tmp_path: Path) -> None:
    model = TextModel.load(tiny_lm.make(tmp_path / "lm"))
    ids = torch.tensor(model.encode("the fox runs over the fox"))
    with torch.inference_mode():
        own = model.lm(ids[None])[0].softmax(-1)
        states = block_inputs(model.lm, ids)
    found = logit_lens(model.lm, ids)
    assert found.tokens.shape == (3, len(ids)) and len(states) == 3
    assert torch.equal(found.tokens[-1], own.argmax(-1)) and torch.allclose(found.probabilities[-1], own.amax(-1))
    same = [place for place, token in enumerate(ids) if token == ids[-1]]
    assert len(same) > 1 and len(set(found.tokens[0][same].tolist())) == 1, "before the first layer a word is a word"
    assert not model.lm.transformer.blocks[0]._forward_hooks and not model.lm.transformer.blocks[0]._forward_pre_hooks
    model.pack()
    assert torch.equal(logit_lens(model.lm, ids).tokens, found.tokens), "of a packed model too"
