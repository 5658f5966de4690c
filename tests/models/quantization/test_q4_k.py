"""Q4_K: what is written is what gguf-py reads, as near to the weights as four bits are."""

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

from mmgen.models.quantization.q4_k import q4_k


def read(blocks: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(dequantize(blocks.numpy(), Type.Q4_K))


def test_it_is_nearer_than_q4_0() -> None:
    weight = torch.randn(64, 512, generator=torch.Generator().manual_seed(0)) * 0.05
    blocks = q4_k(weight)
    assert blocks.shape == (64, 2 * 144) and blocks.dtype == torch.uint8
    ours = (read(blocks) - weight).square().mean()
    plain = torch.from_numpy(dequantize(quantize(weight.numpy(), Type.Q4_0), Type.Q4_0))
    assert ours < 0.8 * (plain - weight).square().mean()
    assert ours.sqrt() < 0.1 * weight.std()


def test_what_four_bits_can_say_is_kept() -> None:
    """Rounding what was read changes next to nothing."""
    weight = torch.randn(8, 256, generator=torch.Generator().manual_seed(1))
    once = read(q4_k(weight))
    assert (read(q4_k(once)) - once).abs().max() < 0.05 * weight.abs().max()


def test_odd_blocks() -> None:
    """Zeros, one sign, a lone large weight, tiny ones: finite and near."""
    weight = torch.zeros(6, 256)
    weight[1], weight[2] = 0.5, -0.5
    weight[3, 7] = 8.0
    weight[4] = 1e-12
    weight[5] = torch.linspace(2, 3, 256)
    found = read(q4_k(weight))
    assert torch.isfinite(found).all() and torch.equal(found[0], weight[0])
    assert (found - weight).abs().amax(1).le(torch.tensor([0, 0.05, 0.05, 0.3, 1e-6, 0.15])).all()
    assert np.isfinite(q4_k(torch.full((1, 256), 1e4)).numpy()).all()
