"""Convolutions and linear layers as oneDNN computes them fastest. Knows layers; not what they compute, training or int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import LEAST_ROWS
from mmgen.models.cpu.batch_invariant_layers import Conv2d
from mmgen.models.cpu.kernels import MAX_GEMV_ROWS, TILE_N, kernels, takes
from mmgen.models.cpu.linear import ONEDNN, Linear

LEAST, ENOUGH = (4, 6) if torch.cpu._is_avx512_supported() else (LEAST_ROWS, LEAST_ROWS)
"""Rows for which the kernel is as fast as it can be, and to how many fewer are filled up."""
CHUNKS = (1024, 512, 384, 256, 192, 128, 64)
"""Of how many inputs oneDNN may sum the products before it adds them to the others."""
PACKS = ONEDNN and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")


class PackedConv2d(nn.Module):
    """A convolution in fp32 or bf16 on a CPU, without gradients. Its weights lie as the kernel reads them, and nowhere else.

    torch lays them out anew in every pass: 0.46 against 0.31 ms for 192 channels of 8 x 8, two rows, one Zen core. The kernel
    and so the layout depend on the images' size, hardly on the number of rows.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.size = conv.weight.detach(), (0, 0)  # laid out for that height and width; (0, 0): plainly
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.how = ([*conv.padding], [*conv.stride], [*conv.dilation], conv.groups)
        self.shape = f"{conv.in_channels} -> {conv.out_channels}, {conv.kernel_size[0]} x {conv.kernel_size[1]}"

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[2], x.shape[3])
        if size != self.size:
            plain = self.weight.to_dense() if self.weight.is_mkldnn else self.weight
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(plain, *self.how, list(x.shape))
            self.size = size
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.how, "none", [], "")  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return self.shape


class PackedLinear(nn.Module):
    """A linear layer in fp32 or bf16 on a CPU, without gradients. Its weights lie as the kernel reads them, and nowhere else.

    From plain ones the kernel gathers its blocks in every pass: 205 against 145 us for a row of 2048 numbers into 768, where
    these are as fast as memory gives them; 230 against 160 us for four rows of 768 into 2304; two Zen cores. A few rows are
    multiplied by a kernel of our own where there is one (kernels.py): a row of 768 into 768 at 52 against 23 GB/s. Otherwise
    one to three are filled up to six, as the AVX-512 kernel is slower for fewer: 222 against 275 us for 2048 into 768.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.exact = linear.weight.dtype == torch.float32
        self.few = few_rows(self.weight, self.in_features, self.out_features) if self.exact else None

    def forward(self, x: Tensor) -> Tensor:
        if self.few is not None and takes(x, self.in_features):
            return self.few(x, self.weight, self.bias)
        rows = x.numel() // self.in_features
        if not 0 < rows < (LEAST if self.exact else LEAST_ROWS):
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")  # type: ignore[no-any-return]
        more = torch.cat((x.reshape(rows, self.in_features),) * (ENOUGH // rows))
        y = torch.ops.mkldnn._linear_pointwise(more, self.weight, self.bias, "none", [], "")
        return y[:rows].view(*x.shape[:-1], self.out_features)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"


@dataclass(frozen=True)
class PackedGEMV:
    """A few rows times a matrix that oneDNN has laid out, by our own kernel; to the bit what oneDNN gives."""

    multiply: Callable[..., None]
    outputs: int
    padded: int  # inputs, as they lie
    chunk: int  # one of CHUNKS, or all inputs

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()
        inputs = x.shape[-1]
        rows, y = x.numel() // inputs, x.new_empty(*x.shape[:-1], self.outputs)
        at, added = torch.ops.mkldnn.data_ptr(weight), 0 if bias is None else bias.data_ptr()
        self.multiply(
            rows, x.data_ptr(), at, added, y.data_ptr(), rows, inputs, self.outputs, self.padded, self.chunk
        )  # fmt: skip
        return y


_found: dict[tuple[int, int, int], PackedGEMV | None] = {}  # by inputs, outputs and threads, for which oneDNN chooses a layout


def few_rows(weight: Tensor, inputs: int, outputs: int) -> PackedGEMV | None:
    """For a matrix of that shape, in oneDNN's layout. None: there is no kernel, or the layout is one that it does not read.

    oneDNN tells neither its layout nor its order of summation: they are found by trying whether the results are the same.
    """
    shape, made = (inputs, outputs, torch.get_num_threads()), kernels()
    if made is None:
        return None
    if shape not in _found:
        _found[shape] = None
        padded, rest = divmod(torch.ops.mkldnn._nbytes(weight) // 4, -(-outputs // TILE_N) * TILE_N)
        if not rest and padded >= inputs:
            x = torch.randn(MAX_GEMV_ROWS, inputs, generator=torch.Generator().manual_seed(0))
            expected = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
            tried = (PackedGEMV(made.fp32, outputs, padded, min(inputs, chunk)) for chunk in CHUNKS)
            _found[shape] = next((few for few in tried if torch.equal(few(x, weight, None), expected)), None)
    return _found[shape]


def pack(module: nn.Module, dtypes: Sequence[torch.dtype] = (torch.float32,)) -> nn.Module:
    """Turns every convolution and linear layer inside `module`, in place, and returns it; to be run only from then on.

    Without effect where there is no oneDNN, and on modules that are not on a CPU in one of these dtypes, fp32 or bf16, and
    on those in bf16 where oneDNN has no products of it.
    """
    found = {(p.device.type, p.dtype) for p in module.parameters()}
    taken = [("cpu", one) for one in dtypes if one == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()]
    if PACKS and len(found) < 2 and found <= set(taken):
        _pack(module)
    return module


def _pack(module: nn.Module) -> None:
    for name, child in module.named_children():
        if (
            isinstance(child, nn.Conv2d)
            and type(child) in (nn.Conv2d, Conv2d)
            and child.padding_mode == "zeros"
            and not isinstance(child.padding, str)
        ):
            setattr(module, name, PackedConv2d(child))
        elif isinstance(child, nn.Linear) and type(child) in (nn.Linear, Linear):
            setattr(module, name, PackedLinear(child))
        else:
            _pack(child)
