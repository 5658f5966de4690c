"""Linear layers with int8 weights, one scale an output row. Knows layers; not what they compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest


class Int8Linear(nn.Module):
    """`x W' + b` with weights rounded to int8 and activations rounded per call (dynamic quantization); CPU only.

    Activations share one scale a call, so a row's last digits depend on what stands in its batch.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / 127).clamp(min=1e-8).double()
        zeros = torch.zeros(len(scales), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(rounded, linear.bias)
        self.shape = f"{linear.in_features} -> {linear.out_features}"

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=False)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return self.shape


def quantize(module: nn.Module) -> nn.Module:
    """Replaces every nn.Linear inside `module` in place by its int8 form, and returns it."""
    if any(parameter.device.type != "cpu" for parameter in module.parameters()):
        raise BadRequest("int8 weights run on a CPU only; use the plain reference on this device")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch announces that its quantized tensors will move to torchao
        _replace(module)
    return module


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            _replace(child)
