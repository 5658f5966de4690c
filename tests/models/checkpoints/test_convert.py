"""Checkpoints to modules and back by a table of names: files of every spelling, every kind of entry, and what does not fit."""

from pathlib import Path

import checkpoints
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from variant_files import SPELLINGS, respell

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, TensorName, drawn, pour
from mmgen.models.lm import language_model

HEADS, SIZE = 2, 3


def interleaved(ours: Tensor) -> Tensor:
    """q, k, v of all heads -> q, k, v of the first head, then of the second; written out."""
    q, k, v = ours.chunk(3)
    return torch.cat([part[head * SIZE : (head + 1) * SIZE] for head in range(HEADS) for part in (q, k, v)])


MATRIX = torch.arange(18 * 4, dtype=torch.float32).view(18, 4)
ENTRIES = {
    "as it is": (TensorName(("a",)), [MATRIX]),
    "joined": (TensorName(("a", "b", "c")), [MATRIX[:6], MATRIX[6:12], MATRIX[12:]]),
    "joined, unequal": (TensorName(("a", "b"), sizes=(12, 6)), [MATRIX[:12], MATRIX[12:]]),
    "transposed": (TensorName(("a",), transposed=True), [MATRIX.T]),
    "a head after the other": (TensorName(("a",), heads=HEADS), [interleaved(MATRIX)]),
    "leading ones": (TensorName(("a",), ones=2), [MATRIX[None, None]]),
}
READ_ONLY = {
    "some rows": (TensorName(("a",), rows=(2, 20, 30)), [torch.cat([torch.zeros(2, 4), MATRIX, torch.ones(10, 4)])]),
    "scaled rows": (TensorName(("a",), scale="b"), [torch.ones(18, 4), torch.arange(18.0)]),
}


class Linear(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(18, 4, dtype=dtype))


def saved(folder: Path, **tensors: Tensor) -> Checkpoint:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return Checkpoint(folder)


@pytest.mark.parametrize("kind", ENTRIES)
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    entry, theirs = ENTRIES[kind]
    assert entry.shapes(MATRIX.shape) == [tuple(tensor.shape) for tensor in theirs]
    tensors = dict(zip(entry.needed, theirs, strict=True))
    module = Linear()
    pour(saved(tmp_path, **tensors), module, {"weight": entry}, "^$")
    assert torch.equal(module.weight, MATRIX)
    back = drawn(module, {"weight": entry})
    assert back.keys() == tensors.keys() and all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert all(tensor.is_contiguous() for tensor in back.values()), "safetensors writes no other"


@pytest.mark.parametrize("kind", READ_ONLY)
def test_one_way(kind: str, tmp_path: Path) -> None:
    entry, theirs = READ_ONLY[kind]
    assert entry.shapes(MATRIX.shape) == [tuple(tensor.shape) for tensor in theirs]
    module = Linear()
    pour(saved(tmp_path, **dict(zip(entry.needed, theirs, strict=True))), module, {"weight": entry}, "^$")
    expected = MATRIX if kind == "some rows" else torch.arange(18.0)[:, None].expand(18, 4)
    assert torch.equal(module.weight, expected)


def test_the_module_keeps_its_own_type(tmp_path: Path) -> None:
    module = Linear(torch.bfloat16)
    checkpoint = saved(tmp_path, a=MATRIX, small=torch.zeros(2, dtype=torch.float16))
    assert checkpoint.dtype == torch.float32, "of the largest tensor"
    pour(checkpoint, module, {"weight": TensorName(("a",))}, "small")
    assert module.weight.dtype == torch.bfloat16 and torch.equal(module.weight, MATRIX.bfloat16())


@pytest.mark.parametrize("name", ["model.a", "a"])
def test_a_prefix_may_be_missing(name: str, tmp_path: Path) -> None:
    module = Linear()
    pour(saved(tmp_path, **{name: MATRIX}), module, {"weight": TensorName(("model.a",))}, "^$", prefix="model.")
    assert torch.equal(module.weight, MATRIX)


@pytest.mark.parametrize(
    ("tensors", "error"),
    [
        ({"b": MATRIX}, "lacks a; it is not of this architecture or not whole"),
        ({"a": MATRIX, "extra.bias": torch.zeros(1)}, "holds extra.bias, which this architecture has not"),
        ({"a": MATRIX.T}, r"weights of another shape than config.json says: a \(4, 18\) instead of \(18, 4\)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_copied(tensors: dict[str, Tensor], error: str, tmp_path: Path) -> None:
    module = Linear()
    with pytest.raises(BadWeights, match=error):
        pour(saved(tmp_path, **tensors), module, {"weight": TensorName(("a",))}, "^ignored$")
    assert not module.weight.any()


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(BadWeights, match=r"model\.safetensors is damaged .*; fetch the model again"):
        Checkpoint(tmp_path)


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
