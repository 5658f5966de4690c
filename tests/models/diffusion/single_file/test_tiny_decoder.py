"""A TAESD decoder from its original file and from diffusers' names: the same pictures; what it is not is told."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.diffusion.single_file import tiny_decoder
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


def tiny() -> Any:
    torch.manual_seed(0)
    return diffusers.AutoencoderTiny(
        latent_channels=4, num_decoder_blocks=(2, 1), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        encoder_block_out_channels=(8, 8),
    ).eval()  # fmt: skip


def original(vae: Any) -> dict[str, torch.Tensor]:
    names = {name: name.split(".", 1) for name in vae.decoder.layers.state_dict()}
    return {f"{int(number) + 1}.{rest}": vae.decoder.layers.state_dict()[name] for name, (number, rest) in names.items()}


def test_files_and_folders(tmp_path: Path) -> None:
    vae, latents = tiny(), torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        expected = vae.decode(latents).sample.clamp(-1, 1)
    save_file(original(vae), tmp_path / "taesd_decoder.safetensors")
    save_file(vae.state_dict(), tmp_path / "whole.safetensors")
    vae.save_pretrained(tmp_path / "folder")
    for name in ("taesd_decoder.safetensors", "whole.safetensors", "folder"):
        assert torch.equal(tiny_decoder.load(tmp_path / name, 4, "cpu").decode(latents), expected), name


def test_what_it_is_not(tmp_path: Path) -> None:
    save_file(original(tiny()), tmp_path / "taesd_decoder.safetensors")
    with pytest.raises(BadRequest, match="decodes latents of 4 channels, the model's have 16; take its own kind"):
        tiny_decoder.load(tmp_path / "taesd_decoder.safetensors", 16, "cpu")
    save_file({"decoder.up.0.block.0.conv1.weight": torch.zeros(1)}, tmp_path / "vae.safetensors")
    with pytest.raises(BadWeights, match=r"looks like an autoencoder; .*; give --preview-vae a TAESD decoder"):
        tiny_decoder.load(tmp_path / "vae.safetensors", 4, "cpu")


def test_previews_by_it(stable_diffusion: Path, tmp_path: Path) -> None:
    """They differ from the model's own; the image does not."""
    save_file(original(tiny()), tmp_path / "taesd_decoder.safetensors")
    few: dict[str, Any] = {"steps": 2, "seed": 7, "preview_every": 1}
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=f"{stable_diffusion}#fp32", plugins=())) as rt:
        plain = list(Txt2Img(rt).stream("a cat", **few))
        quick = list(Txt2Img(rt, preview_vae=str(tmp_path / "taesd_decoder.safetensors")).stream("a cat", **few))
        shown = [[event.value.image.tobytes() for event in events if event.kind == "preview"] for events in (plain, quick)]
        assert [event.kind for event in quick] == [event.kind for event in plain] and shown[0] != shown[1]
        assert quick[-1].value.images[0].tobytes() == plain[-1].value.images[0].tobytes()
