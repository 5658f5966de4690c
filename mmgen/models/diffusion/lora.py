"""A LoRA file merged into a denoiser's weights, for good. See adapters/adapted_layers.py for rows with one each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadRequest
from mmgen.models.diffusion.adapters.weight_delta import NormDelta, WeightDelta
from mmgen.models.diffusion.denoiser import DenoiserModel


@torch.no_grad()
def apply(denoiser: DenoiserModel, path: Path, scale: float = 1.0) -> None:
    """W + scale * D in every layer that the file names; for LoRA D is `alpha / r * B A`, Hu et al. 2021, section 4.1.

    To be called before `pack`. Several files may follow each other. `path`: a safetensors file, or the folder of one.
    Raises BadWeights for a file that is damaged, a pickle, or of another model.
    """
    if not math.isfinite(scale):
        raise BadRequest(f"LoRA scale is {scale}; use a number, usually 0 to 1")
    for network, layers in denoiser.adapters.get(path).deltas.items():
        for name, delta in layers.items():
            _merge(denoiser.networks[network].get_submodule(name), delta, scale)


def _merge(layer: Any, delta: WeightDelta, scale: float) -> None:
    layer.weight.add_((scale * delta.weight(layer.weight.shape)).to(layer.weight))
    bias = delta.shift if isinstance(delta, NormDelta) else getattr(delta, "bias", None)
    if bias is not None:
        if layer.bias is None:
            layer.bias = torch.nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]), requires_grad=False)
        layer.bias.add_((scale * bias).to(layer.bias))
