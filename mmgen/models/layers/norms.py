"""RMSNorm and LayerNorm, as a shape asks for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.kernels import LANES, fitting
from mmgen.models.transformer_config import TransformerConfig


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + eps) * weight`; Zhang and Sennrich 2019. Gemma keeps `weight - 1` (`plus_one`)."""

    def __init__(self, width: int, eps: float, plus_one: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width) if plus_one else torch.ones(width))
        self.shape, self.eps, self.plus_one = (width,), eps, plus_one

    def forward(self, x: Tensor) -> Tensor:
        if not self.plus_one:
            if x.shape[-1] % LANES == 0 and self.weight.dtype is x.dtype and (made := fitting(x)) is not None:
                return made.rms_norm(x, self.weight, self.eps)
            return F.rms_norm(x, self.shape, self.weight, self.eps)
        return F.rms_norm(x.float(), self.shape, 1 + self.weight.float(), self.eps).to(x.dtype)


def norm(config: TransformerConfig, width: int | None = None) -> nn.Module:
    """The shape's norm over `width` numbers; None: its own width."""
    width = config.hidden_size if width is None else width
    if config.norm == "rms":
        return RMSNorm(width, config.norm_eps, config.norm_plus_one)
    return nn.LayerNorm(width, eps=config.norm_eps, bias=config.norm_bias)
