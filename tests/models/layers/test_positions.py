"""Positions: rotary embedding depends on distances alone; ALiBi's slopes and sinusoids are the papers'."""

import math

import pytest
import torch

from mmgen.models.layers.positions import Rotary, alibi_slopes, sinusoids
from mmgen.models.transformer_config import RopeScaling, TransformerConfig


def test_scores_of_rotated_vectors_depend_on_their_distance() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(16), torch.randn(16)
    rotary = Rotary(16, 100.0, 64)

    def score(i: int, j: int) -> float:
        at = torch.tensor([i, j])
        turned = rotary(at, at + 1).turn(torch.stack((q, k))[None, :, None])[0, :, 0]
        return float(turned[0] @ turned[1])

    assert score(9, 4) == pytest.approx(score(25, 20), rel=1e-4) and score(9, 4) != pytest.approx(score(9, 5), rel=1e-3)


def test_linear_scaling_divides_positions() -> None:
    plain, scaled = Rotary(8, 100.0, 64), Rotary(8, 100.0, 64, RopeScaling("linear", factor=4.0))
    at = torch.tensor([8])
    torch.testing.assert_close(scaled(at, at + 1).cos, plain(at / 4, at + 1).cos)


def test_slopes() -> None:
    assert alibi_slopes(8).tolist() == pytest.approx([2.0**-n for n in range(1, 9)])
    assert alibi_slopes(3).tolist() == pytest.approx([2.0**-4, 2.0**-8, 2.0**-2])


def test_sinusoids() -> None:
    table = sinusoids(TransformerConfig(5, 8, 1, 2, 8, 6))
    assert table.shape == (6, 8) and table[0].tolist() == [0.0] * 4 + [1.0] * 4
    assert float(table[3, 1]) == pytest.approx(math.sin(3 / 10_000**0.25))
