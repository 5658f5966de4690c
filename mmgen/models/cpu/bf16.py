"""Linear layers that multiply in bfloat16 between activations in fp32. Knows layers; not what they compute, or when it pays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import LEAST_ROWS, ONEDNN

NARROW = frozenset(("qkv", "up"))
"""Layers, by their names in a block, whose results go on in bfloat16: into attention and an activation, not into a sum."""


class Bf16Linear(nn.Module):
    """`x W' + b` with both factors rounded to bfloat16 and products added in fp32; for inference alone.

    What goes into residual sums and norms stays fp32: of MiniLM the mean cosine to fp32 is 0.99998, against 0.9995 where sums
    are rounded too. On a CPU weights lie as oneDNN's kernel reads them, and nowhere else.
    """

    def __init__(self, linear: nn.Linear, result: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.in_features, self.out_features, self.result = linear.in_features, linear.out_features, result
        weight = linear.weight.detach().bfloat16()
        self.packed = ONEDNN and weight.device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if self.packed else weight
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features), fp32 or bfloat16 -> (..., out_features) of dtype `result`."""
        x = x.to(torch.bfloat16)
        if self.packed:
            single = x.numel() == self.in_features  # a row alone is computed twice, see batch_invariant.py
            rows = x.reshape(1, -1).repeat(LEAST_ROWS, 1) if single else x
            y = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
            y = y[:1].view(*x.shape[:-1], self.out_features) if single else y
        else:
            y = F.linear(x, self.weight, self.bias)
        return y.to(self.result)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"


class Bf16PatchEmbedding(nn.Module):
    """A convolution whose kernel is as large as its stride, so that it multiplies patches, by a `Bf16Linear`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.kernel_size == conv.stride and conv.groups == 1, "patches that overlap are another product"
        self.side = conv.kernel_size
        with torch.no_grad():
            linear = nn.Linear(conv.in_channels * self.side[0] * self.side[1], conv.out_channels, conv.bias is not None)
            linear.weight.copy_(conv.weight.flatten(1))
            if conv.bias is not None:
                linear.bias.copy_(conv.bias)
        self.product = Bf16Linear(linear)

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.product.weight
        return weight

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, E, H // h, W // w)"""
        (high, wide), (rows, columns) = self.side, (images.shape[2] // self.side[0], images.shape[3] // self.side[1])
        parts = images[..., : rows * high, : columns * wide].to(torch.bfloat16)
        parts = parts.unflatten(3, (columns, wide)).unflatten(2, (rows, high))  # (B, C, rows, h, columns, w)
        y: Tensor = self.product(parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))  # (B, N, C h w) -> (B, N, E)
        return y.transpose(1, 2).unflatten(2, (rows, columns))  # type: ignore[no-any-return]


def bf16_products(module: nn.Module, narrow: frozenset[str] = NARROW) -> nn.Module:
    """Replaces every nn.Linear inside `module` in place by a `Bf16Linear`, and returns it. `narrow`: see NARROW."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Bf16Linear(child, torch.bfloat16 if name in narrow else torch.float32))
        else:
            bf16_products(child, narrow)
    return module
