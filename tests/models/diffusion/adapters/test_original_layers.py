"""Files with the names of the original repositories act as W + scale * alpha / rank * B A on the original matrices."""

from pathlib import Path
from typing import Any

import pytest
import single_dit_files as made_files
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.diffusion.adapters import adapter
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import families

LAYERS = {
    "flux": ("double_blocks.0.img_attn.qkv", "double_blocks.1.txt_mlp.0", "single_blocks.1.linear1", "single_blocks.0.linear2",
             "final_layer.adaLN_modulation.1", "time_in.in_layer"),
    "sd35": ("joint_blocks.0.x_block.attn.qkv", "joint_blocks.0.context_block.attn.qkv", "joint_blocks.1.x_block.mlp.fc1",
             "joint_blocks.1.context_block.adaLN_modulation.1", "joint_blocks.0.x_block.attn2.qkv"),
    "z_image": ("layers.0.attention.qkv", "layers.1.attention.out", "layers.0.feed_forward.w1"),
}  # fmt: skip
SCALE = 0.7


def written(name: str, path: Path, flat: bool, alpha: float | None) -> dict[str, Tensor]:
    """The file; returns the changed original tensors, in fp64's precision of the sum."""
    network = made_files.network(name)
    tensors, file = made_files.original(name, network), {}
    torch.manual_seed(1)
    for layer in LAYERS[name]:
        weight = tensors[f"{layer}.weight"]
        down, up = torch.randn(3, weight.shape[1]) * 0.1, torch.randn(weight.shape[0], 3) * 0.1
        factor = SCALE * (1 if alpha is None else alpha / 3)
        tensors[f"{layer}.weight"] = (weight.double() + factor * up.double() @ down.double()).float()
        begin = f"lora_unet_{layer.replace('.', '_')}" if flat else f"diffusion_model.{layer}"
        ends = ("lora_down.weight", "lora_up.weight") if flat else ("lora_A.weight", "lora_B.weight")
        file |= {f"{begin}.{ends[0]}": down, f"{begin}.{ends[1]}": up}
        if alpha is not None:
            file[f"{begin}.alpha"] = torch.tensor(alpha)
    save_file(file, path)
    return tensors


@pytest.mark.parametrize(("flat", "alpha"), [(True, 1.5), (False, None)])
@pytest.mark.parametrize("name", LAYERS)
def test_its_effect(name: str, flat: bool, alpha: float | None, tmp_path: Path) -> None:
    changed = written(name, tmp_path / "lora.safetensors", flat, alpha)
    save_file(changed, tmp_path / "changed.safetensors")
    found = families.find(file := SingleFile(tmp_path / "changed.safetensors"))
    assert found is not None
    expected, network = made_files.network(name), made_files.network(name)
    found[0].opened(file, found[1]).fill(expected)
    made = adapter.load(tmp_path / "lora.safetensors", {"transformer": network}, name)
    layers = made.of("transformer")
    assert len(layers) > len(LAYERS[name])
    with AdaptedLayers(network).use([[(layers, SCALE)]]):
        for path, delta in layers.items():
            layer: Any = network.get_submodule(path)
            x = torch.randn(1, 4, layer.in_features)
            theirs = expected.get_submodule(path)(x)
            assert torch.allclose(layer(x), theirs, atol=1e-5), path
            assert delta.nbytes > 0
    same = {path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)} - layers.keys()
    assert all(torch.equal(network.get_submodule(one).weight, expected.get_submodule(one).weight) for one in same)


def test_what_cannot_be_taken_apart(tmp_path: Path) -> None:
    network = made_files.network("flux")
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.hada_w1_a": torch.ones(96, 2), f"{name}.hada_w1_b": torch.ones(2, 32)}, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match="is several layers here, and an adapter with w1_a, w1_b cannot be taken apart"):
        adapter.load(tmp_path / "x.safetensors", {"transformer": network}, "flux")
