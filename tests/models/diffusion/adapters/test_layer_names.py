"""Names that files give to layers, for the real shapes of Stable Diffusion 1.5 and XL."""

import diffusers
import pytest
import torch

from mmgen.models.diffusion.adapters.layer_names import layers_by_name, original_name

SD = {"cross_attention_dim": 8, "block_out_channels": (8,) * 4, "norm_num_groups": 4, "attention_head_dim": 4}
XL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (8,) * 3,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "transformer_layers_per_block": (1, 2, 3),
}


NAMES: tuple[dict[str, str], ...] = (
    {
        "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_1_1_proj_in": "down_blocks.0.attentions.0.proj_in",
        "middle_block_2_in_layers_2": "mid_block.resnets.1.conv1",
        "output_blocks_2_1_conv": "up_blocks.0.upsamplers.0.conv",  # no attention in that block
        "output_blocks_5_2_conv": "up_blocks.1.upsamplers.0.conv",
        "output_blocks_11_0_skip_connection": "up_blocks.3.resnets.2.conv_shortcut",
    },
    {
        "input_blocks_8_1_transformer_blocks_2_ff_net_0_proj": "down_blocks.2.attentions.1.transformer_blocks.2.ff.net.0.proj",
        "output_blocks_0_1_proj_out": "up_blocks.0.attentions.0.proj_out",
        "middle_block_1_transformer_blocks_0_attn2_to_out_0": "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
        "time_embed_2": "time_embedding.linear_2",
    },
)


@pytest.fixture(scope="module")
def unets() -> list[diffusers.UNet2DConditionModel]:
    with torch.device("meta"):
        return [diffusers.UNet2DConditionModel(**options) for options in (SD, XL)]


def test_names_of_the_original_repositories(unets: list[diffusers.UNet2DConditionModel]) -> None:
    for unet, names in zip(unets, NAMES, strict=True):
        known = layers_by_name({"unet": unet})
        for theirs, ours in names.items():
            assert known[f"lora_unet_{theirs}"] == ("unet", ours) == known[f"lora_unet_{ours.replace('.', '_')}"]


def test_no_name_means_two_layers(unets: list[diffusers.UNet2DConditionModel]) -> None:
    for unet in unets:
        known = layers_by_name({"unet": unet})
        attending = [n for n, block in enumerate(unet.up_blocks) if hasattr(block, "attentions")]
        for network, path in set(known.values()):
            names = [
                f"lora_unet_{path.replace('.', '_')}",
                f"unet.{path}",
                f"diffusion_model.{original_name(path, 2, attending)}",
            ]
            assert {known[name] for name in names} == {(network, path)}
    assert original_name("conv_norm_out", 2) == "out.0" and original_name("strange.layer", 2) == ""
