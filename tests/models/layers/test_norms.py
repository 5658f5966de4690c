"""Norms by their formulas."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmgen.models.layers.norms import RMSNorm, norm, qk_norm
from mmgen.models.transformer_config import Norm, NormOver, TransformerConfig


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


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("over", ["head", "heads", "all"])
def test_queries_and_keys(kind: Norm, over: NormOver) -> None:
    torch.manual_seed(0)
    config = TransformerConfig(5, 24, 1, 3, 8, 6, norm=kind, qk_norm=True, qk_norm_over=over)
    made, x = qk_norm(config, 3), torch.randn(2, 4, 3, 8)
    assert made is not None and qk_norm(replace(config, qk_norm=False), 3) is None
    weight = torch.rand(8 if over == "head" else 24)
    made.weight.data.copy_(weight)  # type: ignore[operator, union-attr]
    rows = x.flatten(-2) if over == "all" else x
    rows = rows - (rows.mean(-1, keepdim=True) if kind == "layer" else 0)
    expected = rows / (rows.square().mean(-1, keepdim=True) + config.norm_eps).sqrt()
    expected = expected.view_as(x) * (weight if over == "head" else weight.view(3, 8))
    torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=1e-4)


def test_a_shape_has_its_norm() -> None:
    config = TransformerConfig(5, 8, 1, 2, 8, 6)
    plain = norm(config)
    assert isinstance(plain, nn.LayerNorm) and plain.eps == config.norm_eps
    rms = norm(TransformerConfig(5, 8, 1, 2, 8, 6, norm="rms"), 4)
    assert isinstance(rms, RMSNorm) and rms.weight.shape == (4,)
