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


def test_pairs_side_by_side() -> None:
    """The same turn as of pairs half a head apart, of places in another order."""
    at, x = torch.arange(3), torch.randn(1, 3, 2, 10)
    halves, neighbours = Rotary(8, 100.0, 64)(at, at + 1), Rotary(8, 100.0, 64, interleaved=True)(at, at + 1)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7, 8, 9])
    torch.testing.assert_close(neighbours.turn(x)[..., order], halves.turn(x[..., order]))


def test_queries_grow_with_their_place() -> None:
    rotary = Rotary(8, 100.0, 64, RopeScaling("linear", factor=1.0, original=4, attention_beta=0.5))
    near, far = torch.arange(4), torch.tensor([3, 4, 11])
    assert rotary(near, near + 1).query_scale is None
    scale = rotary(far, far + 1).query_scale
    assert scale is not None and scale.shape == (3, 1, 1)
    torch.testing.assert_close(scale.flatten(), torch.tensor([1.0, 1 + 0.5 * math.log(2), 1 + 0.5 * math.log(3)]))


def test_a_ramp_between_whole_frequencies_or_as_it_falls() -> None:
    told = {"factor": 8.0, "original": 32, "slow": 0.5}
    whole, exact = (Rotary(16, 1000.0, 64, RopeScaling("yarn", truncate=one, **told)).frequencies for one in (True, False))  # type: ignore[arg-type]
    assert (whole != exact).any() and whole[0] == exact[0] and whole[-1] == exact[-1]


def test_slopes() -> None:
    assert alibi_slopes(8).tolist() == pytest.approx([2.0**-n for n in range(1, 9)])
    assert alibi_slopes(3).tolist() == pytest.approx([2.0**-4, 2.0**-8, 2.0**-2])


def test_sinusoids() -> None:
    table = sinusoids(TransformerConfig(5, 8, 1, 2, 8, 6))
    assert table.shape == (6, 8) and table[0].tolist() == [0.0] * 4 + [1.0] * 4
    assert float(table[3, 1]) == pytest.approx(math.sin(3 / 10_000**0.25))
