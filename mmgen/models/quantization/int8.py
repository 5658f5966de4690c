"""Linear layers with int8 weights, one scale an output row, or with int4 ones. Knows layers; not what they compute."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.cpu.kernels import TILE_N, Kernels, kernels, takes
from mmgen.models.cpu.linear import ONEDNN
from mmgen.models.quantization.int4 import Int4Linear, fits

CAPPED = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ("SSE41", "AVX", "AVX2", "AVX512_CORE")
"""Whether oneDNN is kept from VNNI, which the processor may have."""
MOST, ZERO = (127, 128) if torch.cpu._is_vnni_supported() and not CAPPED else (63, 64)
"""Steps of an activation to either side, and what stands for zero. Without VNNI the processor adds products in pairs, in 16
bits, and cuts off what does not fit: 2 x 127 x 127 does."""
SMALL = 4096
"""Numbers that are cast to uint8 as they are. The cast goes one by one: of more, one to int8 in three steps is faster."""

_tried: dict[tuple[int, int, int], bool] = {}  # inputs, outputs and threads -> whether our kernel reads such a layer


class Int8Linear(nn.Module):
    """`x W' + b` with weights rounded to int8 and activations rounded on the way (dynamic quantization); CPU only.

    Every row of `x` has a scale of its own and products are added as integers, so that a row's result is the same, to
    the bit, whatever stands in its batch.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.scales = (weight.abs().amax(1) / 127).clamp(min=1e-12)  # (out,)
        rounded = (weight / self.scales[:, None]).round().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.sums = 128 * rounded.sum(1, dtype=torch.int32)
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        self.bias = None if linear.bias is None else linear.bias.detach().float()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        made = kernels()
        self.padded = 0  # inputs, as they lie for our kernel
        if made is not None and made.integers:  # four bytes an output follow the weights
            self.padded = torch.ops.mkldnn._nbytes(self.packed) // (-(-self.out_features // TILE_N) * TILE_N) - 4
        self.kernels = made if made and self.padded >= self.in_features and self._is_read_by(made) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kernels is not None and takes(x, self.in_features):
            return self._native(self.kernels, x)
        return self._onednn(x)

    def _onednn(self, x: Tensor) -> Tensor:
        steps = x.abs().amax(-1, keepdim=True).mul_(1 / MOST)  # (..., 1); a row of zeros has none, and times 0 gives 0
        y = torch.ops.onednn.qlinear_pointwise(
            _rounded(x / steps), 1.0, ZERO, self.packed, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return y.mul_(steps) if self.bias is None else torch.addcmul(self.bias, y, steps, out=y)

    def _native(self, made: Kernels, x: Tensor) -> Tensor:
        x = x.contiguous()
        rows, y = x.numel() // self.in_features, x.new_empty(*x.shape[:-1], self.out_features)
        numbers, steps = torch.empty(rows, self.padded, dtype=torch.uint8), torch.empty(rows)
        made.int8(
            rows, x.data_ptr(), torch.ops.mkldnn.data_ptr(self.packed), self.sums.data_ptr(), self.scales.data_ptr(),
            0 if self.bias is None else self.bias.data_ptr(), y.data_ptr(), numbers.data_ptr(), steps.data_ptr(), rows,
            self.in_features, self.out_features, self.padded,
        )  # fmt: skip
        return y

    def _is_read_by(self, made: Kernels) -> bool:
        """oneDNN does not tell how it laid out the weights: whether our kernel gives the same is tried, once a shape."""
        shape = self.in_features, self.out_features, torch.get_num_threads()
        if shape not in _tried:
            x = torch.randn(3, self.in_features, generator=torch.Generator().manual_seed(0))
            _tried[shape] = torch.equal(self._native(made, x), self._onednn(x))
        return _tried[shape]

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"


def as_published(precision: str) -> str:
    """What a model that was published in `precision` runs in: fp32 where int8 would be coarser than what it was published with.

    Of `embedded:reader` the F1 is 72.1 with 7 bits, 71.2 with 6, and 72.6 in fp32.
    """
    return "fp32" if precision == "int8" and MOST < 127 else precision


def _rounded(x: Tensor) -> Tensor:
    """-MOST to MOST -> uint8, of which ZERO stands for zero. Changes `x`."""
    x = x.add_(ZERO + 0.5)  # cut off rather than rounded from here on
    if x.numel() <= SMALL:
        return x.to(torch.uint8)
    return x.floor_().sub_(128).to(torch.int8).view(torch.uint8).bitwise_xor_(128)


def quantize(module: nn.Module, precision: str = "int8") -> nn.Module:
    """Replaces every nn.Linear inside `module` in place by its int8 or int4 form, and returns it.

    With int4, layers whose sizes its kernel does not take become int8.
    """
    if not ONEDNN or any(parameter.device.type != "cpu" for parameter in module.parameters()):
        raise BadRequest(f"{precision} weights run on a CPU with oneDNN only; use the plain reference on this device")
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int4Linear(child) if precision == "int4" and fits(child) else Int8Linear(child))
        else:
            quantize(child, precision)
    return module
