"""Transformers in one file: every tensor where diffusers' own converters put it, what they draw, and what is missing told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import single_dit_files as made_files
import tiny_dit
import torch
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, BadWeights, NotFound
from mmgen.models.diffusion.dit import model as dit
from mmgen.models.diffusion.single_file import kinds
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import families, model
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

CONVERTERS: dict[str, Callable[..., dict[str, Any]]] = {
    "flux": single_file_utils.convert_flux_transformer_checkpoint_to_diffusers,
    "schnell": single_file_utils.convert_flux_transformer_checkpoint_to_diffusers,
    "flux2": single_file_utils.convert_flux2_transformer_checkpoint_to_diffusers,
    "klein": single_file_utils.convert_flux2_transformer_checkpoint_to_diffusers,
    "sd3": single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers,
    "sd35": single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers,
    "z_image": single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers,
    "qwen_image": lambda checkpoint: checkpoint,
}


@pytest.fixture
def any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' converter of FLUX knows the published width alone: its parts are split in their ratio."""
    split = torch.split

    def in_ratio(tensor: torch.Tensor, sizes: Any, dim: int = 0) -> Any:
        whole = sum(sizes) if isinstance(sizes, list | tuple) else 0
        return split(tensor, [tensor.shape[dim] * one // whole for one in sizes] if whole else sizes, dim)

    monkeypatch.setattr(torch, "split", in_ratio)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_every_tensor_is_where_diffusers_puts_it(name: str, prefix: str, tmp_path: Path) -> None:
    """Its shape is read from the tensors alone; diffusers' names are read, too."""
    theirs = made_files.network(name)
    path = tmp_path / "x.safetensors"
    tensors = made_files.original(name, theirs)
    save_file({prefix + key: one for key, one in tensors.items()}, path)
    converted = CONVERTERS[name](dict(load_file(path)) if prefix == "" else {**tensors})
    found = families.find(SingleFile(path))
    assert found is not None and found[1] == prefix
    opened = found[0].opened(SingleFile(path), prefix)
    config = found[0].config(opened)
    ours = type(theirs)(**config)
    opened.fill(ours)
    assert {key: value for key, value in config.items() if key != "sample_size"}.items() <= {
        key: tuple(value) if isinstance(config.get(key), tuple) else value for key, value in theirs.config.items()
    }.items()
    for key, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[key]) and torch.equal(tensor, converted[key].view(tensor.shape)), key
    save_file(theirs.state_dict(), path)
    again = found[0].opened(SingleFile(path), "")
    assert found[0].config(again) == config


def test_kinds_are_those_that_there_are() -> None:
    assert {one.name for one in families.FAMILIES} == set(kinds.TRANSFORMERS)
    assert {one.pipeline for one in families.FAMILIES} <= set(dit.FAMILIES)


@pytest.mark.parametrize("name", ["flux", "sd3"])
def test_a_file_draws_as_diffusers_does(name: str, tmp_path: Path) -> None:
    """All in one file, in fp32; its tokenizers are CLIP's, and T5's beside the file."""
    theirs = made_files.pipeline(name, tmp_path)
    path = made_files.write_whole(name, theirs, tmp_path / "whole.safetensors")
    size: dict[str, Any] = {"width": 32, "height": 32}
    theirs.set_progress_bar_config(disable=True)
    expected = theirs("a red cat", num_inference_steps=2, generator=torch.manual_seed(7), **size).images[0]
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=f"{path}#fp32", plugins=())) as rt:
        drawn = Txt2Img(rt)("a red cat", steps=2, seed=7, **size)
    assert np.abs(np.asarray(drawn.images[0], int) - np.asarray(expected, int)).max() <= 1


def test_parts_of_their_own(tmp_path: Path) -> None:
    """A transformer alone with encoders and VAE from files, or from a whole pipeline's folder; the recipe tells all."""
    theirs = made_files.pipeline("flux", tmp_path)
    network, clip, t5, vae = made_files.write_parts("flux", theirs, tmp_path)
    theirs.save_pretrained(tmp_path / "folder")
    with pytest.raises(
        BadWeights, match=r"FLUX\.1's transformer without CLIP-L .*, T5-XXL .*, a VAE; give --text-encoder FILE"
    ):
        dit.load(network)
    with pytest.raises(BadWeights, match="transformer without T5-XXL"):
        dit.load(network, vae=vae, text_encoders=[clip])
    by_files = dit.load(network, vae=vae, text_encoders=[clip, t5])
    by_folder = dit.load(network, text_encoders=[tmp_path / "folder"])
    for one, other in zip(by_files.embed_prompts(["a red cat"]), by_folder.embed_prompts(["a red cat"]), strict=True):
        assert torch.equal(one.tokens, other.tokens) and torch.equal(one.pooled, other.pooled)  # type: ignore[arg-type]
    for part in ("transformer", "vae"):
        state = getattr(by_folder.pipeline, part).state_dict()
        assert all(torch.equal(one, state[key]) for key, one in getattr(by_files.pipeline, part).state_dict().items())
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=f"{network}#fp32", plugins=())) as rt:
        drawn = Txt2Img(rt, vae=str(vae), text_encoder=[str(clip), str(t5)])("a red cat", steps=1, seed=7, width=32, height=32)
        assert [one.file for one in drawn.recipes[0].text_encoder] == [str(clip), str(t5)]
        with pytest.raises(NotFound, match='model "gone" is no folder here'):
            rt.denoiser(text_encoder=["gone"])
        with pytest.raises(BadRequest, match=r"takes no other text encoder here .--text-encoder.; leave it out"):
            rt.denoiser("embedded:emoji", text_encoder=[str(clip)])
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(NotFound, match=r"T5's encoder has no tokenizer in .*; put tokenizer\.json or spiece\.model of"):
        dit.load(network, vae=vae, text_encoders=[clip, t5])


def test_what_a_files_name_tells(tmp_path: Path) -> None:
    """FLUX.2 klein's base is guided, its distilled one is not; Kontext is told an image."""
    theirs = tiny_dit.make("flux2_klein", tmp_path / "folder")
    tensors = made_files.original("klein", theirs.transformer)
    for name, distilled in (("flux-2-klein-4b", True), ("flux-2-klein-base-4b", False)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        found = dit.load(tmp_path / f"{name}.safetensors", text_encoders=[tmp_path / "folder"])
        assert (found.family.guidance, found.family.steps) == ((1.0, 4) if distilled else (4.0, 50))
    state = theirs.transformer.state_dict()
    assert all(torch.equal(one, state[key]) for key, one in found.network.state_dict().items())
    family = families.FAMILIES[0]
    assert family.pipeline_of(Path("flux1-dev-Kontext.safetensors")) == "FluxKontextPipeline"
    assert family.pipeline_of(Path("flux1-dev.safetensors")) == "FluxPipeline"


def test_rounded_weights(tmp_path: Path) -> None:
    """fp8 plain and with a scale a layer, as ComfyUI writes it, and what it writes beside."""
    theirs = made_files.network("flux")
    tensors = made_files.original("flux", theirs)
    name = "double_blocks.0.img_attn.qkv.weight"
    plain = {key: one.to(torch.float8_e4m3fn) for key, one in tensors.items()}
    save_file(plain, tmp_path / "plain.safetensors")
    assert torch.equal(SingleFile(tmp_path / "plain.safetensors").get(name), plain[name].float())
    scaled = {**plain, name.replace("weight", "scale_weight"): torch.tensor(0.5), "scaled_fp8": torch.zeros(2)}
    scaled |= {name.replace("weight", "scale_input"): torch.tensor(2.0)}
    save_file(scaled, tmp_path / "scaled.safetensors")
    file = SingleFile(tmp_path / "scaled.safetensors")
    ours = made_files.network("flux")
    families.FAMILIES[0].opened(file, "").fill(ours)
    query = ours.state_dict()["transformer_blocks.0.attn.to_q.weight"]
    assert torch.equal(query, plain[name].float()[: len(query)] * 0.5)


def test_what_is_not_drawn(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = made_files.original("flux", made_files.network("flux"))
    save_file({**tensors, "img_in.weight": torch.zeros(tensors["img_in.weight"].shape[0], 384)}, path)
    file = SingleFile(path)
    with pytest.raises(BadWeights, match=r"is FLUX\.1 Fill, which is told another image"):
        families.FAMILIES[0].config(families.FAMILIES[0].opened(file, ""))
    save_file({**tensors, "double_blocks.0.more.weight": torch.zeros(1)}, path)
    with pytest.raises(BadWeights, match=r"has no place for: double_blocks\.0\.more\.weight"):
        families.FAMILIES[0].opened(SingleFile(path), "").fill(made_files.network("flux"))
    assert not model.handles(_saved(tmp_path, {"joint_blocks.0.y": torch.zeros(1)}))
    clip = _saved(tmp_path, {"lora_unet_a.lora_down.weight": torch.zeros(1)})
    network = tmp_path / "flux.safetensors"
    save_file(tensors, network)
    with pytest.raises(BadWeights, match="looks like a LoRA; give it with --lora; --text-encoder takes CLIP-L"):
        dit.load(network, text_encoders=[clip])


def _saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, folder / "other.safetensors")
    return folder / "other.safetensors"


def test_a_vae_beside_a_folder(tmp_path: Path) -> None:
    """Scaled as the folder's own; one of other latents is refused."""
    theirs = tiny_dit.make("flux", tmp_path / "folder")
    other = diffusers.AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, layers_per_block=1, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    save_file(other.state_dict(), tmp_path / "vae.safetensors")
    found: Any = dit.load(tmp_path / "folder", vae=tmp_path / "vae.safetensors").images
    assert (found.scale, float(found.shift)) == (
        theirs.vae.config.scaling_factor,
        pytest.approx(theirs.vae.config.shift_factor),
    )
    wide = diffusers.AutoencoderKL(block_out_channels=(32,), latent_channels=8)
    save_file(wide.state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(BadRequest, match="has 8 latent channels, the model 4"):
        dit.load(tmp_path / "folder", vae=tmp_path / "vae.safetensors")
    with pytest.raises(BadRequest, match="has its own text encoders; leave --text-encoder out"):
        dit.load(tmp_path / "folder", text_encoders=[tmp_path])
