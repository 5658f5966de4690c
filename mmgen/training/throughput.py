"""FLOPs per token of a transformer, and the peak FLOP/s of a device."""

from __future__ import annotations

import time

import torch

from mmgen.models.transformer_config import TransformerConfig


def flops_per_token(config: TransformerConfig, length: int) -> float:
    """Of a forward and a backward pass: `6 N + 12 L H d T`; Chowdhery et al. 2022, appendix B. N: with head, without lookup.

    `length`: places of a row. A mixture counts the experts that a token goes to.
    """
    attention = (config.heads * 2 + config.kv_heads * 2) * config.head_size * config.hidden_size
    mixed = sum(config.mixes(layer) for layer in range(config.layers))
    sizes = mixed * (config.expert_size * config.experts_per_token + config.shared_intermediate_size)
    sizes += (config.layers - mixed) * config.intermediate_size
    feed_forward = (3 if config.gated else 2) * config.hidden_size * sizes
    weights = config.layers * attention + feed_forward + config.vocab_size * config.hidden_size
    return 6.0 * weights + 12.0 * config.layers * config.heads * config.head_size * length


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
