"""A folder's tensors, whatever its files are called."""

from pathlib import Path

import checkpoints
import pytest
import torch
from variant_files import SPELLINGS, respell

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint
from mmgen.models.lm import language_model


@pytest.mark.parametrize("spelling", list(SPELLINGS))
@pytest.mark.parametrize("index", [True, False])
def test_spellings(tmp_path: Path, spelling: str, index: bool) -> None:
    theirs = checkpoints.saved(checkpoints.FAMILIES["llama"], tmp_path).state_dict()
    respell(tmp_path / "model.safetensors", spelling, index)
    checkpoint = Checkpoint(tmp_path)
    assert set(checkpoint) == set(theirs)
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(checkpoint[name], theirs[name]) and checkpoint.shape(name) == theirs[name].shape
    assert torch.equal(language_model.load(tmp_path).head.weight, theirs["lm_head.weight"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"has no model\.safetensors; only safetensors are read"):
        Checkpoint(tmp_path)
    checkpoints.saved(checkpoints.FAMILIES["llama"], tmp_path)
    with pytest.raises(BadWeights, match=r"has no open_clip\.safetensors"):
        Checkpoint(tmp_path, "open_clip")
    respell(tmp_path / "model.safetensors", "shards, variant")
    (tmp_path / "model-00002-of-00002.fp16.safetensors").unlink()
    with pytest.raises(BadWeights, match=r"has no model-00002-of-00002\.fp16\.safetensors"):
        Checkpoint(tmp_path)
