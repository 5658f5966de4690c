"""Norms by their formulas."""

import torch
from torch import nn

from mmgen.models.layers.norms import RMSNorm, norm
from mmgen.models.transformer_config import TransformerConfig


def test_rms_norm() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 24), torch.rand(24)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    for plus_one in (False, True):
        made = RMSNorm(24, 1e-6, plus_one)
        made.weight.data.copy_(weight - 1 if plus_one else weight)
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                torch.testing.assert_close(made(x), expected)


def test_a_shape_has_its_norm() -> None:
    config = TransformerConfig(5, 8, 1, 2, 8, 6)
    plain = norm(config)
    assert isinstance(plain, nn.LayerNorm) and plain.eps == config.norm_eps
    rms = norm(TransformerConfig(5, 8, 1, 2, 8, 6, norm="rms"), 4)
    assert isinstance(rms, RMSNorm) and rms.weight.shape == (4,)
