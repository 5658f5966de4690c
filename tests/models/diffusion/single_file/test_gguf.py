"""GGUF files of diffusion transformers: kept in their blocks, what they draw, and what is told of them."""

import logging
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import single_dit_files as made_files
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file
from torch import nn

from mmgen.clients.denoiser import DenoiserClient
from mmgen.config import RuntimeConfig
from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile, Packing
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import families
from mmgen.models.quantization.block_layers import BlockLinear
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

KINDS = {"flux": (Type.Q8_0, Type.Q4_0), "sd3": (Type.Q5_1, Type.Q8_0), "qwen_image": (Type.Q4_1, Type.Q8_0)}


def write(name: str, module: Any, path: Path) -> None:
    """As city96's converter does; the module gets the weights that stand in the file."""
    writer = gguf.GGUFWriter(path, name.removesuffix("_image") if name != "qwen_image" else name)
    tensors = {}
    for number, (key, one) in enumerate(made_files.original(name, module).items()):
        values = one.numpy()
        if one.dim() == 2 and one.shape[1] % 32 == 0 and "img_in" not in key:
            kind = KINDS[name][number % 2]
            packed = quantize(values, kind)
            writer.add_tensor(key, packed, raw_dtype=kind)
            values = dequantize(packed, kind)
        else:
            writer.add_tensor(key, values)
        tensors[key] = torch.from_numpy(values.copy()).view(one.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, path.with_suffix(".safetensors"))
    found = families.find(plain := SingleFile(path.with_suffix(".safetensors")))
    assert found is not None
    found[0].opened(plain, found[1]).fill(module)


@pytest.mark.parametrize("name", KINDS)
def test_matrices_stay_packed(name: str, tmp_path: Path) -> None:
    """Rows of fused matrices too; every weight is the one that gguf-py reads."""
    theirs = made_files.network(name)
    write(name, theirs, tmp_path / "x.gguf")
    file = GGUFSingleFile(tmp_path / "x.gguf")
    found = families.find(file)
    assert found is not None
    tensors = found[0].opened(file, found[1])
    ours = type(theirs)(**found[0].config(tensors)).eval()
    tensors.fill(ours, Packing(file))
    packed = [path for path, layer in ours.named_modules() if isinstance(layer, BlockLinear)]
    plain = [path for path, layer in ours.named_modules() if isinstance(layer, nn.Linear) and layer.in_features % 32 == 0]
    assert len(packed) > 20 and not [path for path in plain if path != "x_embedder"]
    for path in packed:
        layer, own = ours.get_submodule(path), theirs.get_submodule(path)
        assert torch.equal(layer.weight, own.weight)
        assert torch.equal(layer.bias, own.bias)
        x = torch.randn(3, own.in_features)
        assert torch.allclose(layer(x), own(x), atol=1e-4, rtol=1e-4)


def test_a_file_draws(tmp_path: Path) -> None:
    """As diffusers does with its dequantized weights, to the bit alone and in a batch."""
    theirs = made_files.pipeline("flux", tmp_path)
    write("flux", theirs.transformer, tmp_path / "flux1.gguf")
    _, clip, t5, vae = made_files.write_parts("flux", theirs, tmp_path)
    size: dict[str, Any] = {"width": 32, "height": 32}
    theirs.set_progress_bar_config(disable=True)
    expected = theirs("a red cat", num_inference_steps=2, generator=torch.manual_seed(7), **size).images[0]
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=str(tmp_path / "flux1.gguf"), plugins=())) as rt:
        draw = Txt2Img(rt, vae=str(vae), text_encoder=[str(clip), str(t5)])
        drawn = draw("a red cat", steps=2, seed=6, n=2, **size)
        alone = draw("a red cat", steps=2, seed=7, **size)
        layer = "transformer.transformer_blocks.0.attn.to_q"
        lora = {f"{layer}.lora_A.weight": torch.randn(2, 32), f"{layer}.lora_B.weight": torch.randn(32, 2)}
        save_file(lora, tmp_path / "lora.safetensors")
        tuned = Txt2Img(rt, vae=str(vae), text_encoder=[str(clip), str(t5)], lora=[str(tmp_path / "lora.safetensors")])
        assert tuned("a red cat", steps=1, seed=7, **size).images[0].tobytes() != alone.images[0].tobytes()
        client = rt.denoiser(vae=str(vae), text_encoder=[str(clip), str(t5)])
        assert isinstance(client, DenoiserClient) and client.precision == ""
    assert alone.images[0].tobytes() == drawn.images[1].tobytes()
    assert np.abs(np.asarray(alone.images[0], int) - np.asarray(expected, int)).max() <= 1


def test_what_has_no_kernel_is_dequantized_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = made_files.network("qwen_image")
    write("qwen_image", theirs, tmp_path / "x.gguf")
    file = GGUFSingleFile(tmp_path / "x.gguf")
    monkeypatch.setattr("mmgen.models.quantization.block_matrix.reads", lambda tensor: tensor.type != "Q4_1")
    ours = made_files.network("qwen_image")
    with caplog.at_level(logging.WARNING):
        families.FAMILIES[-1].opened(file, "").fill(ours, Packing(file))
    assert [one.message.split(": ")[1] for one in caplog.records] == [
        "tensors of Q4_1 are dequantized to float32, as there is no kernel for them"
    ]
    left = [path for path, layer in ours.named_modules() if isinstance(layer, nn.Linear)]
    assert left and all(torch.equal(ours.get_submodule(one).weight, theirs.get_submodule(one).weight) for one in left)


def test_shapes_that_were_changed(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "sd3")
    writer.add_tensor("x_embedder.proj.weight", np.arange(128, dtype=np.float32).reshape(4, 32))
    writer.add_array("comfy.gguf.orig_shape.x_embedder.proj.weight", [8, 4, 2, 2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = GGUFSingleFile(tmp_path / "x.gguf")
    assert file.get("x_embedder.proj.weight").shape == (8, 4, 2, 2) and file.packed("x_embedder.proj.weight") is None
    with (
        Runtime(RuntimeConfig(home=tmp_path, denoiser=str(tmp_path / "x.gguf"), plugins=())) as rt,
        pytest.raises(BadWeights, match=r"looks like no model that is known here: it holds x_embedder.*; single files of"),
    ):
        rt.denoiser()
