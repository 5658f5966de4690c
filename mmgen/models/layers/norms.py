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


class HeadNorm(nn.Module):
    """The norm of queries or keys (..., heads, d) without a bias, in fp32.

    Each head by itself, by one weight (d,) for all ("head") or its own of (heads * d,) ("heads"), or all together ("all").
    """

    def __init__(self, config: TransformerConfig, heads: int) -> None:
        super().__init__()
        self.over, self.eps, self.rms, self.size = config.qk_norm_over, config.norm_eps, config.norm == "rms", config.head_size
        self.weight = nn.Parameter(torch.ones(self.size * (1 if self.over == "head" else heads)))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.float().flatten(-2) if self.over == "all" else x.float()
        width = rows.shape[-1:]
        rows = F.rms_norm(rows, width, None, self.eps) if self.rms else F.layer_norm(rows, width, None, None, self.eps)
        weight = self.weight if self.over != "heads" else self.weight.unflatten(0, x.shape[-2:])
        return (rows * weight.float()).to(x.dtype).view_as(x)


def qk_norm(config: TransformerConfig, heads: int) -> nn.Module | None:
    """The norm of so many heads of queries or keys; None: the shape has none."""
    if not config.qk_norm:
        return None
    if config.norm == "rms" and config.qk_norm_over == "head":
        return RMSNorm(config.head_size, config.norm_eps, config.norm_plus_one)
    return HeadNorm(config, heads)


def norm(config: TransformerConfig, width: int | None = None) -> nn.Module:
    """The shape's norm over `width` numbers; None: its own width."""
    width = config.hidden_size if width is None else width
    if config.norm == "rms":
        return RMSNorm(width, config.norm_eps, config.norm_plus_one)
    return nn.LayerNorm(width, eps=config.norm_eps, bias=config.norm_bias)
