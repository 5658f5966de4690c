"""Blocks of the UNet: what the mask hides does not count, sizes that halving does not divide, layers that pause and pack."""

import torch
from torch import nn

from mmgen.models.diffusion import unet_blocks
from mmgen.models.diffusion.unet_config import UNetConfig

CONFIG = UNetConfig(block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=6)


@torch.inference_mode()
def test_hidden_tokens_do_not_count() -> None:
    block = unet_blocks.PlaceTransformer(CONFIG, 16, heads=2, layers=1)
    image, tokens = torch.randn(1, 16, 4, 4), torch.randn(1, 5, 6)
    bias = torch.tensor([0.0, 0, 0, -10000, -10000]).view(1, 1, 1, 5)
    told = unet_blocks.UNetConditions(torch.zeros(1, 32), tokens, bias)
    fewer = unet_blocks.UNetConditions(torch.zeros(1, 32), tokens[:, :3], None)
    torch.testing.assert_close(block(image, told), block(image, fewer))


def test_resizing_goes_to_the_size_that_is_asked_for() -> None:
    x = torch.randn(1, 4, 5, 7)
    small = unet_blocks.StridedConv(4)(x)
    assert small.shape[2:] == (3, 4)
    assert unet_blocks.NearestConv(4)(small, x.shape[2:]).shape == x.shape


def test_leaves_are_plain_modules_which_pause_and_pack_as_any_others() -> None:
    parts = (unet_blocks.TimedResidual(CONFIG, 8, 16), unet_blocks.PlaceTransformer(CONFIG, 8, 2, 1))
    leaves = {type(one) for part in parts for one in part.modules() if next(one.children(), None) is None}
    assert leaves == {nn.Conv2d, nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.Identity}
