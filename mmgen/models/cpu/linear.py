"""Linear layers and the kernel that computes them. Knows processors; not models, training or int8."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`x W' + b`. Without gradients, in fp32 on a CPU, through oneDNN.

    torch takes MKL there, which leaves AVX-512 unused on AMD: 110 against 250 GFLOP/s on one Zen core.
    """

    def forward(self, x: Tensor) -> Tensor:
        if ONEDNN and self._plain(x):
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")  # type: ignore[no-any-return]
        return super().forward(x)

    def _plain(self, x: Tensor) -> bool:
        return (
            x.dtype == self.weight.dtype == torch.float32
            and x.device.type == "cpu"
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
        )
