"""The configuration of a UNet2DConditionModel, as far as our own module (unet.py) computes it. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DOWN, UP, MIDDLE = ("DownBlock2D", "CrossAttnDownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D"), "UNetMidBlock2DCrossAttn"
ONLY: Mapping[str, Any] = {
    "center_input_sample": False, "mid_block_type": MIDDLE, "only_cross_attention": False, "downsample_padding": 1,
    "mid_block_scale_factor": 1, "dropout": 0.0, "act_fn": "silu", "reverse_transformer_layers_per_block": None,
    "encoder_hid_dim": None, "encoder_hid_dim_type": None, "num_attention_heads": None, "dual_cross_attention": False,
    "num_class_embeds": None, "upcast_attention": False, "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0, "time_embedding_type": "positional", "time_embedding_dim": None,
    "time_embedding_act_fn": None, "timestep_post_act": None, "time_cond_proj_dim": None, "conv_in_kernel": 3,
    "conv_out_kernel": 3, "attention_type": "default", "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None, "cross_attention_norm": None,
}  # fmt: skip
"""Keys of a configuration -> the one value that this module computes."""
UNREAD = ("_class_name", "_diffusers_version", "_name_or_path", "addition_embed_type_num_heads", "addition_time_embed_dim")
"""Keys that say nothing where `ONLY` holds."""


@dataclass(frozen=True)
class UNetConfig:
    """Keys of diffusers' configuration that may differ, with its defaults."""

    in_channels: int = 4
    out_channels: int = 4
    sample_size: int | None = None
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = (DOWN[1],) * 3 + DOWN[:1]
    up_block_types: tuple[str, ...] = UP[:1] + (UP[1],) * 3
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 1280
    transformer_layers_per_block: int | tuple[int, ...] = 1
    attention_head_dim: int | tuple[int, ...] = 8  # the number of heads, whatever it is called
    use_linear_projection: bool = False
    class_embed_type: str | None = None
    projection_class_embeddings_input_dim: int | None = None
    resnet_time_scale_shift: str = "default"
    addition_embed_type: None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> UNetConfig | None:
        """From config.json; None where it asks for what this module does not compute."""
        known = {one.name for one in fields(cls)}
        others = {key: one for key, one in values.items() if key not in known and key not in UNREAD}
        if any(key not in ONLY or ONLY[key] != one for key, one in others.items()):
            return None
        said: dict[str, Any] = {k: tuple(one) if isinstance(one, list) else one for k, one in values.items() if k in known}
        config = cls(**said)
        return config if config._fits() else None

    def _fits(self) -> bool:
        levels, numbers = len(self.block_out_channels), (self.layers_per_block, self.cross_attention_dim, self.norm_num_groups)
        return (
            all(isinstance(number, int) for number in numbers)
            and levels == len(self.down_block_types) == len(self.up_block_types)
            and set(self.down_block_types) <= set(DOWN)
            and set(self.up_block_types) <= set(UP)
            and self.class_embed_type in (None, "projection", "simple_projection")
            and self.addition_embed_type is None
            and self.resnet_time_scale_shift in ("default", "scale_shift")
            and all(isinstance(one, int) or len(one) == levels for one in (self.heads, self.layers))
        )

    @property
    def time_width(self) -> int:
        return 4 * self.block_out_channels[0]

    @property
    def heads(self) -> tuple[int, ...]:
        """Of every level."""
        return _each(self.attention_head_dim, len(self.block_out_channels))

    @property
    def layers(self) -> tuple[int, ...]:
        """Of every level's transformers."""
        return _each(self.transformer_layers_per_block, len(self.block_out_channels))


def _each(value: int | tuple[int, ...], levels: int) -> tuple[int, ...]:
    return (value,) * levels if isinstance(value, int) else value
