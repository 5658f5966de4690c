"""States put in place bring the clean answer back: all of it at the last place of the last layer."""

from pathlib import Path

import pytest
import tiny_lm
import torch

from mmgen.errors import BadRequest
from mmgen.models.lm.interpretation.activation_patching import patched
from mmgen.models.lm.text_model import TextModel


def test_patching(tmp_path: Path) -> None:
    lm = TextModel.load(tiny_lm.make(tmp_path / "lm")).lm
    clean = torch.tensor([5, 9, 12, 40, 41])
    corrupted = torch.tensor([5, 9, 77, 40, 41])
    found = patched(lm, clean, corrupted, 3, 4)
    assert found.shape == (2, 5)
    assert float(found[-1, -1]) == pytest.approx(1, abs=1e-4), "the last state decides"
    assert found[:, :2].abs().max() < 1e-4, "what stands before the difference is the same in both"
    assert found[-1, :4].abs().max() < 1e-4, "after the last layer other places play no part"
    with pytest.raises(BadRequest, match="the prompts are 5 and 4 tokens"):
        patched(lm, clean, corrupted[:4], 3, 4)
    with pytest.raises(BadRequest, match="makes no difference between the prompts"):
        patched(lm, clean, clean, 3, 4)
