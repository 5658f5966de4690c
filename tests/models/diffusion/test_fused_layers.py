"""Blocks of diffusers in fewer passes over memory: its numbers, names and hooks, and a row the same in every batch."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.cpu.onednn import pack
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.fused_layers import fuse

SHAPE: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 12,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 2, "layers_per_block": 1,
}  # fmt: skip


def last(x: torch.Tensor) -> torch.Tensor:
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("more", [{}, {"use_linear_projection": True, "resnet_time_scale_shift": "scale_shift"}])
@torch.inference_mode()
def test_a_unet(more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network: Any = UNet2DConditionModel(**SHAPE | more).eval()
    x, tokens = torch.randn(3, 4, 8, 8), torch.randn(3, 5, 12)
    steps = torch.tensor([3, 50, 900])
    expected = network(x, steps, tokens).sample
    pack(fuse(hold(network)))
    found = network(last(x), steps, tokens).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(network(last(x[1:2].clone()), steps[1:2], tokens[1:2]).sample, found[1:2])
    torch.testing.assert_close(network(x, steps, tokens).sample, expected, rtol=1e-4, atol=1e-5)  # in plain order


@torch.inference_mode()
def test_an_autoencoder() -> None:
    torch.manual_seed(0)
    blocks: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1, "latent_channels": 4}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae: Any = AutoencoderKL(**blocks, **kinds).eval()
    latents = torch.randn(2, 4, 6, 6)
    expected = vae.decode(latents).sample
    pack(fuse(hold(vae)))
    found = vae.decode(last(latents)).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(vae.decode(last(latents[1:].clone())).sample, found[1:])


@torch.inference_mode()
def test_a_norm_that_an_adapter_changes_is_run_as_a_layer() -> None:
    """Not so one that others listen to, as the pauses of a step do."""
    block: Any = fuse(nn.Sequential(ResnetBlock2D(in_channels=8, temb_channels=6, groups=2).eval()))[0]
    assert type(block).__name__ == "ResnetBlock2D" and isinstance(block, ResnetBlock2D)
    x, time, heard = last(torch.randn(1, 8, 4, 4)), torch.randn(1, 6), []
    block.norm2.register_forward_hook(lambda *_: heard.append("a norm"))
    plain = block(x, time)
    assert not heard
    delta: Any = lambda layer, x: torch.ones_like(x)  # noqa: E731
    with AdaptedLayers(block).use([[({"norm1": delta}, 0.5)]]):
        assert not torch.equal(block(x, time), plain)
    assert heard
