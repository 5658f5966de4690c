"""What is no ControlNet of a model is told in one line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_controls
import tiny_images
import torch
from safetensors.torch import load_file, save_file

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.diffusion.control import loading
from mmgen.models.diffusion.denoiser import DenoiserModel

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(stable_diffusion: Path) -> DenoiserModel:
    return DenoiserModel.load(stable_diffusion, name="tiny")


@pytest.fixture(scope="module")
def net(stable_diffusion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_controls.controlnet(tmp_path_factory.mktemp("net"), stable_diffusion)


def copied(net: Path, folder: Path, **config: object) -> Path:
    folder.mkdir()
    (folder / WEIGHTS).symlink_to(net / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(json.loads((net / "config.json").read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("ControlNetUnionModel", r"\(union\), which is not read here; give a ControlNet, T2I-Adapter or IP-Adapter"),
        ("FluxControlNetModel", "a ControlNet for FLUX, not for a UNet; give a ControlNet, T2I-Adapter or IP-Adapter"),
        ("UNet2DConditionModel", "of class UNet2DConditionModel; give a ControlNet, T2I-Adapter or IP-Adapter"),
    ],
)
def test_another_kind_of_folder(base: DenoiserModel, net: Path, tmp_path: Path, found: str, message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        loading.load(copied(net, tmp_path / "other", _class_name=found), base, name="it")


def test_another_base(base: DenoiserModel, net: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadWeights, match=r"it reads prompts of 1024 numbers a token \(Stable Diffusion 2\.x\), tiny has 16; take"
    ):
        loading.check_shape(loading_config(net, cross_attention_dim=1024), base.unet.config, base, "it")
    with pytest.raises(BadWeights, match=r"it has block_out_channels \[8, 32\], tiny \(8, 16\)|tiny \[8, 16\]"):
        loading.check_shape(loading_config(net, block_out_channels=[8, 32]), base.unet.config, base, "it")
    xl = DenoiserModel.load(tiny_images.stable_diffusion_xl(tmp_path / "xl"), name="xl")
    with pytest.raises(BadWeights, match="it reads prompts of 16 numbers a token, xl has 40; take a ControlNet made for xl"):
        loading.load(net, xl, name="it")
    other = SimpleNamespace(unet=base.unet, images=base.images, factor=8, dtype=base.dtype, name="tiny")
    with pytest.raises(BadWeights, match="it reduces its image 2 times, tiny's latents are 8 times smaller"):
        loading.load(net, other, name="it")


def loading_config(net: Path, **changed: object) -> dict[str, object]:
    return json.loads((net / "config.json").read_text()) | changed


def test_a_model_that_none_can_control(net: Path, pixel_model: Path) -> None:
    base = DenoiserModel.load(pixel_model, name="emoji")
    with pytest.raises(BadRequest, match="emoji has no UNet of Stable Diffusion's kind, so it cannot control it; leave it out"):
        loading.load(net, base, name="it")


def test_damaged_weights(base: DenoiserModel, net: Path, tmp_path: Path) -> None:
    tensors = load_file(net / WEIGHTS)
    tensors["controlnet_mid_block.weight"][0, 0] = torch.nan
    folder = copied(net, tmp_path / "nan")
    (folder / WEIGHTS).unlink()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(BadWeights, match=r"numbers that are none in controlnet_mid_block\.weight; the file is damaged"):
        loading.load(folder, base)
    (tmp_path / "cut.safetensors").write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(BadWeights, match=r"cut\.safetensors is damaged"):
        loading.load(tmp_path / "cut.safetensors", base)


def test_files_of_other_kinds(base: DenoiserModel, net: Path, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(BadWeights, match="is a pickle, which can run code when read; convert it"):
        loading.load(path, base)
    for name, message in (
        ("lora_controlnet", "is a Control-LoRA, which is not read here; give a ControlNet, T2I-Adapter or IP-Adapter"),
        ("task_embedding", "many kinds in one"),
        ("lllite_unet_x.down.0.weight", "is a ControlNet-LLLite"),
        ("first_stage_model.decoder.mid.x", "looks like an autoencoder"),
        ("alphabet", "looks like no model that is known here: it holds alphabet; give a ControlNet, T2I-Adapter or IP-Adapter"),
    ):
        save_file({name: torch.zeros(2)}, path)
        with pytest.raises(BadWeights, match=message):
            loading.load(path, base)
    save_file({"surplus": torch.zeros(2), **load_file(net / WEIGHTS)}, path)
    with pytest.raises(BadWeights, match="has tensors that a ControlNet has no place for: surplus"):
        loading.load(path, base)
    tensors = load_file(net / WEIGHTS)
    del tensors["controlnet_mid_block.bias"]
    save_file(tensors, path)
    with pytest.raises(BadWeights, match=r"lacks controlnet_mid_block\.bias, so the file is not whole"):
        loading.load(path, base)
