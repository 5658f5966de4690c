"""Files of learned words, in A1111's and diffusers' form."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmgen.errors import BadWeights
from mmgen.models.diffusion.prompts import textual_inversion


def test_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "moody.safetensors"
    for tensors, word in (({"emb_params": torch.ones(3, 4)}, "moody"), ({"<toy>": torch.ones(4)}, "<toy>")):
        save_file(tensors, path)
        found = textual_inversion.read(path, [4], "sd")
        assert word in found.words and "moody" in found.words and found.vectors[0].dim() == 2
    save_file({"clip_l": torch.ones(2, 4), "clip_g": torch.ones(2, 6)}, path)
    assert [one.shape[1] for _, one in sorted(textual_inversion.read(path, [4, 6], "xl").vectors.items())] == [4, 6]


def test_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for tensors, told in (
        ({"emb_params": torch.ones(3, 5)}, "has vectors of 5 numbers, sd reads 4; take an embedding made for this model"),
        ({"clip_l": torch.ones(2, 4), "clip_g": torch.ones(2, 6)}, "vectors of 4 and 6 numbers, sd reads 4"),
        ({"a": torch.ones(1, 4), "b": torch.ones(1, 4)}, "is no textual inversion: it holds a, b"),
        ({"emb_params": torch.ones(0, 4)}, "holds no vectors; the file is damaged"),
        ({"clip_l": torch.ones(())}, "is no textual inversion: it holds clip_l"),
        ({}, "is no textual inversion: it holds nothing"),
        ({"emb_params": torch.full((1, 4), torch.nan)}, "holds numbers that are none"),
    ):
        save_file(tensors, path)
        with pytest.raises(BadWeights, match=told):
            textual_inversion.read(path, [4], "sd")
    with pytest.raises(BadWeights, match="a pickle can run code"):
        textual_inversion.read(tmp_path / "x.pt", [4], "sd")
    with pytest.raises(BadWeights, match="has no CLIP text encoder"):
        textual_inversion.read(path, [], "emoji")
