"""Packing, and what is told of files that do not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io


def test_packed_matrices_are_within_half_a_step() -> None:
    state = {"a.weight": torch.randn(8, 16) * torch.logspace(-3, 1, 8)[:, None], "a.bias": torch.randn(8)}
    back = safetensors_io.unpacked(safetensors_io.packed(state))
    step = state["a.weight"].abs().amax(1, keepdim=True) / 127
    assert ((back["a.weight"] - state["a.weight"]).abs() <= 0.55 * step + 1e-6).all()
    assert torch.equal(back["a.bias"], state["a.bias"].half().float())
    assert safetensors_io.packed(state)["a.weight"].dtype == torch.int8


def test_a_row_of_zeros_stays_zero() -> None:
    assert torch.equal(safetensors_io.unpacked(safetensors_io.packed({"w": torch.zeros(2, 3)}))["w"], torch.zeros(2, 3))


def test_int8_without_scales() -> None:
    with pytest.raises(BadWeights, match="w as int8 without its scales"):
        safetensors_io.unpacked({"w": torch.zeros(2, 2, dtype=torch.int8)})


def test_what_does_not_fit_is_named() -> None:
    layer = nn.Linear(2, 3)
    with pytest.raises(BadWeights, match="lack bias"):
        safetensors_io.fill(layer, {"weight": torch.zeros(3, 2)})
    with pytest.raises(BadWeights, match="hold other, which"):
        safetensors_io.fill(layer, {"weight": torch.zeros(3, 2), "bias": torch.zeros(3), "other": torch.zeros(1)})
    with pytest.raises(BadWeights, match=r"weight \(2, 2\) instead of \(3, 2\)"):
        safetensors_io.fill(layer, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)})


def test_numbers_that_are_none() -> None:
    layer = nn.Linear(2, 2).half()
    layer.weight.data.fill_(60000.0)  # their sum is none in fp16
    safetensors_io.finite(layer, Path("unet"))
    for bad in (torch.nan, torch.inf):
        layer.weight.data[1, 1] = bad
        with pytest.raises(BadWeights, match="unet holds numbers that are none in weight; the file is damaged"):
            safetensors_io.finite(layer, Path("unet"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"has no model\.safetensors; only safetensors are read"):
        safetensors_io.read(tmp_path / "model.safetensors")
    for data, told in (
        (b"PK\x03\x04 a pickle in a zip", "is a pickle, which can run code when read; convert it: python -c"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS and not the file itself"),
        (b"\n<!DOCTYPE html><html>", "is a web page, which a server sent instead of the file"),
        (b"GGUF\x03\0\0\0\0\0\0\0", r"is a GGUF file; call it model\.gguf"),
        (b"", r"is damaged .*header too small"),
        (b"\0\0\0\0\0\0\0\x10{}", r"is damaged .*header too large"),  # 2^60 bytes of it
    ):
        (tmp_path / "model.safetensors").write_bytes(data)
        for reads in (safetensors_io.read, safetensors_io.read_metadata):
            with pytest.raises(BadWeights, match=told):
                reads(tmp_path / "model.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert safetensors_io.read(tmp_path / "model.safetensors")["w"].shape == (2,)
    with pytest.raises(BadWeights, match=r"has no config\.json"):
        safetensors_io.read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(BadWeights, match="is no JSON object"):
        safetensors_io.read_json(tmp_path / "config.json")
