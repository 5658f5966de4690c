"""Tensors of a LoRA file, sorted by layer."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmgen.errors import BadWeights
from mmgen.models.diffusion.adapters import lora_file


def test_tensors_are_sorted_by_layer(tmp_path: Path) -> None:
    names = (
        "a.lora_down.weight",
        "a.lora_up.weight",
        "a.alpha",
        "b.c.hada_w1_a",
        "b.c.dora_scale",
        "d.diff",
        "d.diff_b",
        "e.ia3_l",
    )
    save_file({name: torch.ones(()) * n for n, name in enumerate(names)}, tmp_path / "x.safetensors")
    file = lora_file.read(tmp_path)
    assert {name: sorted(layer) for name, layer in file.layers.items()} == {
        "a": ["alpha", "down", "up"], "b.c": ["dora_scale", "w1_a"], "d": ["diff", "diff_bias"],
    }  # fmt: skip
    assert file.unread == ["e.ia3_l"]
    assert file.alpha("a", 4) == 2 and file.alpha("d", 4) == 4


@pytest.mark.parametrize("alpha", ["many", float("nan"), [1]])
def test_an_alpha_of_peft_that_is_no_number(tmp_path: Path, alpha: object) -> None:
    header = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": alpha})}
    save_file({"unet.a.lora_A.weight": torch.ones(1)}, tmp_path / "x.safetensors", header)
    with pytest.raises(BadWeights, match="has a lora_alpha in PEFT's settings that is no number"):
        lora_file.read(tmp_path).alpha("unet.a", 1)


def test_a_damaged_header_is_told(tmp_path: Path) -> None:
    save_file({"unet.a.lora_A.weight": torch.ones(1)}, tmp_path / "x.safetensors", {"lora_adapter_metadata": "{"})
    with pytest.raises(BadWeights, match="damaged lora_adapter_metadata"):
        lora_file.read(tmp_path)
