"""Layers by the functions of batch_invariant.py, and how a network that another library built comes to have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmgen.models.cpu import batch_invariant
from mmgen.models.cpu.activations import gelu_tanh, group_norm
from mmgen.models.cpu.linear import Linear


class Conv2d(nn.Conv2d):
    """By `batch_invariant.convolution`."""

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros":
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x, padding = F.pad(x, self._reversed_padding_repeated_twice, mode), (0, 0)
        return batch_invariant.convolution(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class SiLU(nn.SiLU):
    """By `batch_invariant.silu`; in place where it is asked for, as networks read the input again afterwards (SPAN)."""

    def forward(self, x: Tensor) -> Tensor:
        out = batch_invariant.silu(x)
        return x.copy_(out) if self.inplace else out


class GELU(nn.GELU):
    """The exact one does not depend on the batch, the one by tanh is `activations.gelu_tanh`."""

    def forward(self, x: Tensor) -> Tensor:
        return gelu_tanh(x) if self.approximate == "tanh" else F.gelu(x)


class GroupNorm(nn.GroupNorm):
    """By `activations.group_norm`: torch's code for fp32 with its channels last, as behind attention, sees the batch."""

    def forward(self, input: Tensor) -> Tensor:
        return group_norm(input, self, activated=False)


class AttentionMode(TorchFunctionMode):
    """Within it attention is `batch_invariant.dense_attention`, in code of others too that asks torch for it; and a GELU by
    tanh is `activations.gelu_tanh`."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.gelu and kwargs and kwargs.get("approximate") == "tanh":
            return gelu_tanh(*args)
        if function is not F.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        return self._attention(*args, **(kwargs or {}))

    @staticmethod
    def _attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        if is_causal:
            return batch_invariant.attention(query, key, value, attn_mask, is_causal, scale=scale, grouped=enable_gqa)
        return batch_invariant.dense_attention(query, key, value, attn_mask, scale=scale, grouped=enable_gqa)


class HeldProcessor:
    """diffusers' computation of an attention layer, inside the mode."""

    def __init__(self, processor: Callable[..., Tensor]) -> None:
        self.processor = processor

    def __call__(self, layer: nn.Module, *args: Any, temb: Tensor | None = None, **more: Any) -> Tensor:
        """`temb` is named, as diffusers warns of arguments that a processor does not name.

        An image (B, C, H, W) comes back in the memory format it had: attention leaves its channels last, torch keeps that in
        the next sum for several images and not for one, and oneDNN on AVX2 convolves the two by code that rounds differently.
        """
        if torch.is_grad_enabled():
            return self.processor(layer, *args, temb=temb, **more)
        with AttentionMode():
            out = self.processor(layer, *args, temb=temb, **more)
        given = args[0] if args else more["hidden_states"]
        if out.dim() != 4:
            return out
        return out.contiguous(memory_format=torch.contiguous_format if given.is_contiguous() else torch.channels_last)


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Linear,
    nn.Conv2d: Conv2d,
    nn.SiLU: SiLU,
    nn.GELU: GELU,
    nn.GroupNorm: GroupNorm,
}


def hold(module: nn.Module) -> nn.Module:
    """Gives the layers of a network the classes above, in place, and returns it: a row's result then does not depend on the
    batch. Parameters, hooks and names stay as they are."""
    for layer in module.modules():
        if (kind := KINDS.get(type(layer))) is not None:
            layer.__class__ = kind
        if type(processor := getattr(layer, "processor", None)).__name__ == "AttnProcessor2_0":
            cast(Any, layer).processor = HeldProcessor(cast(Any, processor))
    return module
