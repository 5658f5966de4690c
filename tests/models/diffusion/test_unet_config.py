"""Which configurations our own UNet reads, and which are left to diffusers' class."""

from typing import Any

import pytest

from mmgen.models.diffusion.unet_config import UNetConfig

SHAPE: dict[str, Any] = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "attention_head_dim": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip


def test_what_levels_say_once_goes_for_all() -> None:
    config = UNetConfig.read({**SHAPE, "_class_name": "UNet2DConditionModel", "transformer_layers_per_block": [1, 3]})
    assert config is not None
    assert (config.heads, config.layers, config.time_width) == ((2, 2), (1, 3), 32)


@pytest.mark.parametrize(
    "asked", [{"mid_block_type": None}, {"unknown": 1}, {"class_embed_type": "timestep"}, {"addition_embed_type": "text_time"},
              {"attention_head_dim": [2]}, {"layers_per_block": [1, 2]}, {"up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}]
)  # fmt: skip
def test_what_asks_for_more_is_left_to_diffusers(asked: dict[str, Any]) -> None:
    assert UNetConfig.read(SHAPE) is not None
    assert UNetConfig.read(SHAPE | asked) is None
