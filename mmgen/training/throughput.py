"""FLOPs per token of a transformer, and the peak FLOP/s of a device."""

from __future__ import annotations

import time

import torch

from mmgen.models.lm.interpretation.structure import forward_flops
from mmgen.models.transformer_config import TransformerConfig


def flops_per_token(config: TransformerConfig, length: int) -> float:
    """Of a forward and a backward pass, in a row of `length` places: the backward one takes twice as many."""
    return 3 * forward_flops(config, length)


def peak(device: torch.device, precision: str, seconds: float = 0.2) -> float:
    """FLOP/s of a large product, the best of several in about so many seconds: what utilization is measured by."""
    if precision == "auto":
        return max(peak(device, name, seconds / 2) for name in ("no", "bf16"))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    size = 1024 if device.type == "cpu" else 8192
    x = torch.randn(size, size, device=device).to(dtype)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        product = x @ x
        product[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best
