"""A whole model in one file: every tensor where it belongs, what it draws, and one clear line for what is none."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import single_files
import torch
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file

from mmgen import hub, weight_files
from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, BadWeights, NotFound
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.single_file import kinds, tensors, vae
from mmgen.models.diffusion.single_file import model as single_file
from mmgen.models.diffusion.single_file.text import tokenizer
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FAMILIES = {1: "Stable Diffusion 1.x", 2: "Stable Diffusion 2.x", 3: "Stable Diffusion XL"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for version in (1, 2, 3):
        single_files.write(folder / f"{version}.safetensors", version, torch.float16)
    return folder


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_tensor_is_where_it_belongs(files: Path, version: int) -> None:
    """In fp16 on the disk, and by the parts that it was made of; its UNet also as diffusers converts it."""
    path, made = files / f"{version}.safetensors", single_files.parts(version)
    assert kinds.family(tensors.SingleFile(path)) == FAMILIES[version]
    model = DenoiserModel.load(path)
    for name, network in {**model.networks, "vae": model.images.vae}.items():  # type: ignore[attr-defined]
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, made[name].state_dict()[key].half().float()), key
    theirs = single_file_utils.convert_ldm_unet_checkpoint(load_file(path), model.unet.config)
    assert all(torch.equal(tensor, theirs[name].float()) for name, tensor in model.unet.state_dict().items())
    assert (model.scheduler_config["prediction_type"], model.images.scale) == ("epsilon", made["vae"].config.scaling_factor)  # type: ignore[attr-defined]
    assert model.unet.config.attention_head_dim == made["unet"].config.attention_head_dim
    width, pooled = model.unet.config.cross_attention_dim, torch.randn(64) if version == 3 else None
    condition = Conditioning(torch.randn(77, width), None, pooled)
    assert model.predict(torch.randn(1, 4, 8, 8), torch.tensor([500.0]), [condition]).isfinite().all()


def test_clips_tokenizer() -> None:
    """Ids that everybody knows, with either padding."""
    assert tokenizer("!")("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (len(tokenizer("!")), tokenizer("!").pad_token_id, tokenizer("<|endoftext|>").pad_token_id) == (49408, 0, 49407)


def test_a_vae_of_its_own(tmp_path: Path) -> None:
    """For a file without one, in the original names and in diffusers'."""
    path, own = tmp_path / "novae.safetensors", single_files.vae(0.18215)
    single_files.write(path, 1, first_stage_model=None)
    with pytest.raises(BadWeights, match="has no VAE; give one with --vae FILE"):
        DenoiserModel.load(path)
    save_file({single_files.vae_name(name): one for name, one in own.state_dict().items()}, tmp_path / "vae.safetensors")
    save_file(own.state_dict(), tmp_path / "theirs.safetensors")
    whole: Any = DenoiserModel.load(path, vae=tmp_path / "vae.safetensors")
    for images in (
        whole.images,
        vae.from_path(tmp_path / "theirs.safetensors", {"scaling_factor": 0.18215}, "cpu", torch.float32),
    ):
        assert all(torch.equal(one, own.state_dict()[name]) for name, one in images.vae.state_dict().items())
        assert images.scale == 0.18215
    with pytest.raises(BadWeights, match="not a safetensors file"):
        vae.from_path(tmp_path / "x.pt", {}, "cpu", torch.float32)
    save_file({"lora_unet_a.lora_down.weight": torch.ones(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(BadWeights, match="looks like a LoRA; give it with --lora; give --vae the VAE"):
        vae.from_path(tmp_path / "lora.safetensors", {}, "cpu", torch.float32)


def test_what_its_output_means(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    single_files.write(path, 1, v_pred=torch.zeros(1), ztsnr=torch.zeros(1))
    config = DenoiserModel.load(path).scheduler_config
    assert config["prediction_type"] == "v_prediction" and config["rescale_betas_zero_snr"] is True
    assert config["timestep_spacing"] == "trailing"
    save_file({"v_pred": torch.zeros(1)}, path, {"modelspec.prediction_type": "epsilon"})
    path = tmp_path / "playground.safetensors"
    single_files.write(
        path, 3, edm_mean=torch.tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]]), edm_std=torch.full((1, 4, 1, 1), 5.0)
    )
    made: Any = DenoiserModel.load(path)
    assert made.scheduler_config["_class_name"] == "EDMDPMSolverMultistepScheduler" and made.table("euler", 4, 1, 32, 32)
    assert (made.images.scale, made.images.shift.flatten().tolist()) == (0.5, [1, 2, 3, 4])
    path = tmp_path / "v.safetensors"
    single_files.write(path, 3, **{"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)})
    cosxl = single_file.edm_schedule_of(tensors.SingleFile(path))
    assert cosxl is not None and (cosxl["sigma_max"], cosxl["prediction_type"]) == (120, "v_prediction")
    save_file({"edm_else": torch.zeros(1)}, path)
    with pytest.raises(BadWeights, match=r"EDM's noise levels of an unknown kind .edm_else."):
        single_file.edm_schedule_of(tensors.SingleFile(path))
    save_file({"v_pred": torch.zeros(1)}, path, {"modelspec.prediction_type": "epsilon"})
    assert single_file.prediction(tensors.SingleFile(path), None, FAMILIES[1]) == "epsilon"


def test_fp8(tmp_path: Path) -> None:
    made = single_files.write(tmp_path / "x.safetensors", 1, torch.float8_e4m3fn)
    unet = DenoiserModel.load(tmp_path / "x.safetensors").unet
    assert all(torch.equal(one, made["unet"].state_dict()[name]) for name, one in unet.state_dict().items())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["lora_unet_x.lora_down.weight"], "looks like a LoRA; give it with --lora; single files of Stable Diffusion 1.x"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], "looks like a relative of FLUX"),
        (["model.diffusion_model.joint_blocks.0.x"], "looks like a relative of Stable Diffusion 3"),
        (["control_model.zero_convs.0.0.weight"], "looks like a ControlNet"),
        (["decoder.up.0.block.0.conv1.weight"], "looks like an autoencoder; give it with --vae"),
        (["model.layers.0.mlp.weight"], "looks like a language model"),
        (
            ["conditioner.embedders.0.model.ln_final.weight", "model.diffusion_model.input_blocks.0.0.weight"],
            "like the refiner of",
        ),
        (["model.diffusion_model.input_blocks.0.0.weight"], "has a UNet and no text encoder"),
        (["strange"], "looks like no model that is known here: it holds strange"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, names: list[str], told: str) -> None:
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match=told):
        DenoiserModel.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize(("channels", "told"), [(9, "inpaint"), (8, "edit")])
def test_networks_that_are_told_an_image(tmp_path: Path, channels: int, told: str) -> None:
    whole = single_files.tensors(1, single_files.parts(1))
    first = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, channels, 3, 3)}
    save_file(whole | first, tmp_path / "x.safetensors")
    assert DenoiserModel.load(tmp_path / "x.safetensors").told == told


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    whole = single_files.tensors(1, single_files.parts(1))

    def refused(changed: dict[str, Any], told: str) -> None:
        save_file({name: one for name, one in {**whole, **changed}.items() if one is not None}, path)
        with pytest.raises(BadWeights, match=told):
            DenoiserModel.load(path)

    name = "model.diffusion_model.out.2.bias"
    refused({name: torch.full((4,), torch.nan)}, f"holds numbers that are none in {name}")
    refused({name: None}, f"lacks {name}, so the file is not whole")
    refused({f"{name}_more": torch.zeros(1)}, f"has no place for: {name}_more")
    refused(
        {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 7, 3, 3)}, "the UNet takes 7 channels and gives 4"
    )
    name = "model.diffusion_model.middle_block.1.proj_out.weight"
    refused({name: whole[name].to(torch.int8)}, f"holds weights of int8 .{name}., a form that is not read here")
    assert whole[name].shape[0] == 64
    refused({name.replace("weight", "weight_scale"): torch.ones(3)}, "has 3 scales for 64 rows; not read here")
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(BadWeights, match="is a pickle, which can run code when read; convert it"):
        DenoiserModel.load(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(BadWeights, match="is damaged"):
        DenoiserModel.load(path)


def test_references(files: Path, tmp_path: Path) -> None:
    path = files / "1.safetensors"
    assert hub.resolve(str(path), kind="denoiser") == path
    assert weight_files.used(path) == [path] and len(weight_files.digest(path)) == 64
    with pytest.raises(BadRequest, match="is a file; give the folder"):
        hub.resolve(str(path), kind="encoder")
    (tmp_path / "old.ckpt").touch()
    with pytest.raises(BadWeights, match="is a pickle, which can run code when read; convert it"):
        hub.resolve(str(tmp_path / "old.ckpt"), kind="denoiser")


def test_a_file_draws_as_diffusers_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From words to pixels, and with a VAE of its own; the recipe tells both."""
    monkeypatch.setattr(single_files, "TOKENS", 49408)
    path, own = tmp_path / "model.safetensors", tmp_path / "vae.safetensors"
    made = single_files.write(path, 1)
    save_file(single_files.vae(0.18215).state_dict(), own)
    config = {name: value for name, value in single_file.SCHEDULE.items() if not name.startswith("_")}
    theirs = diffusers.StableDiffusionPipeline(
        **made, tokenizer=tokenizer("<|endoftext|>"), scheduler=diffusers.DDIMScheduler(**config), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    size: dict[str, Any] = {"width": 32, "height": 32}
    expected = theirs("a red cat", num_inference_steps=2, guidance_scale=4, generator=torch.manual_seed(7), **size).images[0]
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=f"{path}#fp32", plugins=())) as rt:
        drawn = Txt2Img(rt)("a red cat", steps=2, guidance=4, seed=7, solver="ddim", **size)
        other = Txt2Img(rt, vae=str(own))("a red cat", steps=2, guidance=4, seed=7, solver="ddim", **size)
        difference = np.abs(np.asarray(drawn.images[0], int) - np.asarray(expected, int))
        assert difference.max() <= 1
        assert drawn.recipes[0].vae is None and len(drawn.recipes[0].weights) == 64
        assert other.recipes[0].vae is not None and other.recipes[0].vae.file == str(own)
        assert other.images[0].tobytes() != drawn.images[0].tobytes()
        with pytest.raises(NotFound, match="VAE gone does not exist"):
            rt.denoiser(vae="gone")
