"""Blocks of diffusers' UNets and autoencoders in fewer passes over memory, with their channels last; see activations.c.

A block keeps its parameters, hooks and names, and computes as diffusers does where it is not one of the usual kind.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmgen.models.cpu.activations import gated_gelu, group_norm
from mmgen.models.diffusion.adapters.adapted_layers import is_adapted


class FusedResidual(nn.Module):
    """ResnetBlock2D, (B, C, h, w) -> (B, C', h, w)."""

    def forward(self: Any, input_tensor: Tensor, temb: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if not _usual(self, temb):
            return super().forward(input_tensor, temb, *args, **kwargs)  # type: ignore[no-any-return]
        hidden = self.conv1(group_norm(input_tensor, self.norm1))
        told: Any = None
        if self.time_emb_proj is not None:
            told = self.time_emb_proj(temb if self.skip_time_act else self.nonlinearity(temb))
        if self.time_embedding_norm == "scale_shift":
            scale, shift = told.chunk(2, dim=1)
            hidden = group_norm(hidden, self.norm2, scaled=(scale, shift))
        else:
            hidden = group_norm(hidden, self.norm2, told)
        hidden = self.conv2(hidden)
        shortcut = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        out: Tensor = shortcut + hidden
        return out if self.output_scale_factor == 1 else out / self.output_scale_factor


def _usual(block: Any, temb: Tensor | None) -> bool:
    """Whether it is norm, SiLU and convolution twice, not in training, and no adapter changes a norm."""
    return (
        not (block.training or is_adapted(block.norm1) or is_adapted(block.norm2))
        and block.upsample is block.downsample is None
        and isinstance(block.nonlinearity, nn.SiLU)
        and block.time_embedding_norm in ("default", "scale_shift")
        and (temb is None) == (block.time_emb_proj is None)
    )


class FusedTransformer(nn.Module):
    """Transformer2DModel over an image's places: what it gives keeps its channels last."""

    def _get_output_for_continuous_inputs(
        self: Any, hidden_states: Tensor, residual: Tensor, batch_size: int, height: int, width: int, inner_dim: int
    ) -> Tensor:
        if residual.is_contiguous():
            return super()._get_output_for_continuous_inputs(  # type: ignore[misc,no-any-return]
                hidden_states, residual, batch_size, height, width, inner_dim
            )
        if self.use_linear_projection:
            hidden_states = self.proj_out(hidden_states)
        image = hidden_states.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # (B, h w, C) -> (B, C, h, w)
        out: Tensor = (image if self.use_linear_projection else self.proj_out(image)) + residual
        return out


class FusedGate(nn.Module):
    """GEGLU."""

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return gated_gelu(self.proj(hidden_states))


FUSED: dict[str, type[nn.Module]] = {
    "ResnetBlock2D": FusedResidual,
    "Transformer2DModel": FusedTransformer,
    "GEGLU": FusedGate,
}
_made: dict[type[nn.Module], type[nn.Module]] = {}  # by diffusers' class


def fuse(module: nn.Module) -> nn.Module:
    """Gives the blocks of a network the forwards above, in place, and returns it; to be run on a CPU from then on."""
    for block in module.modules():
        if (kind := FUSED.get(type(block).__name__)) is not None and not isinstance(block, kind):
            block.__class__ = _fused(kind, type(block))
    return module


def _fused(kind: type[nn.Module], own: type[nn.Module]) -> type[nn.Module]:
    """Named as diffusers' class, whose name others look for."""
    if own not in _made:
        _made[own] = type(own.__name__, (kind, own), {"__module__": own.__module__})
    return _made[own]
