"""Gates and mixtures of experts by their formulas, one place at a time."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.layers.feed_forward import (
    ACTIVATIONS,
    ClampedGate,
    Experts,
    Gated,
    QuickGELU,
    activation,
    balance_loss,
    down,
    up,
)
from mmgen.models.transformer_config import TransformerConfig

CONFIG = TransformerConfig(5, 16, 1, 2, 48, 6)
GATED = TransformerConfig(5, 16, 1, 2, 48, 6, gated=True, activation="silu", feed_forward_bias=False)
MIXED = TransformerConfig(5, 16, 1, 2, 48, 6, gated=True, activation="silu", experts=4, experts_per_token=2)


@pytest.mark.parametrize("grad", [True, False])  # without gradients SwiGLU has a kernel of its own
@pytest.mark.parametrize("size", [48, 7])  # 7 is no multiple of the kernel's lanes
@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_gates(name: str, size: int, grad: bool) -> None:
    x = torch.randn(2, 3, 2 * size)
    function = {"silu": F.silu, "gelu": F.gelu}[name]
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(Gated(ACTIVATIONS[name]())(x), function(x[..., :size]) * x[..., size:])


def test_activations_by_name() -> None:
    x = torch.linspace(-4, 4, 33)
    torch.testing.assert_close(QuickGELU()(x), x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(ACTIVATIONS["gelu"]()(x), x * (1 + torch.erf(x / math.sqrt(2))) / 2)
    assert (ACTIVATIONS["gelu_tanh"]()(x) - F.gelu(x)).abs().max() < 1e-3
    assert isinstance(activation(CONFIG), nn.GELU) and isinstance(activation(GATED), Gated)


def test_gate_and_up_are_one_product() -> None:
    assert up(CONFIG).weight.shape == (48, 16) and up(CONFIG).bias is not None
    assert up(GATED).weight.shape == (96, 16) and up(GATED).bias is None
    assert down(GATED).weight.shape == (16, 48)


def naive(experts: Experts, x: Tensor) -> Tensor:
    """Mixtral's sum for a single place: the two likeliest experts, their probabilities scaled to sum to 1."""
    probabilities = experts.router(x).softmax(-1)
    best = sorted(range(len(experts.each)), key=lambda expert: -float(probabilities[expert]))[:2]
    total = probabilities[best].sum()
    parts = [probabilities[expert] / total * experts.each[expert](x) for expert in best]
    return parts[0] + parts[1]


def test_each_place_goes_to_its_experts() -> None:
    torch.manual_seed(0)
    experts, x = Experts(MIXED), torch.randn(2, 3, 16)
    routing: list[Tensor] = []
    with torch.no_grad():
        found = experts(x, routing)
        expected = torch.stack([torch.stack([naive(experts, place) for place in row]) for row in x])
        torch.testing.assert_close(experts(x[:1, :1]), expected[:1, :1])
    torch.testing.assert_close(found, expected)
    (logits,) = routing
    torch.testing.assert_close(logits, experts.router(x.reshape(6, 16)))


def test_shares_as_they_are_and_a_shared_expert() -> None:
    torch.manual_seed(0)
    experts = Experts(replace(MIXED, norm_topk_prob=False, shared_intermediate_size=8, moe_intermediate_size=24))
    assert experts.each[0].up.weight.shape == (48, 16) and experts.shared is not None  # type: ignore[union-attr]
    x = torch.randn(1, 3, 16)
    with torch.no_grad():
        for place, found in zip(x[0], experts(x)[0], strict=True):
            probabilities = experts.router(place).softmax(-1)
            best = probabilities.topk(2).indices.tolist()
            chosen = sum(probabilities[one] * experts.each[one](place) for one in best)
            torch.testing.assert_close(found, chosen + experts.shared(place))


def test_a_gate_that_is_clamped() -> None:
    gate, up = torch.linspace(-9, 9, 7), torch.linspace(9, -9, 7)
    expected = gate.clamp(max=2) * torch.sigmoid(1.5 * gate.clamp(max=2)) * (up.clamp(-2, 2) + 1)
    torch.testing.assert_close(ClampedGate(1.5, 2.0)(torch.cat((gate, up))), expected)
    torch.testing.assert_close(ACTIVATIONS["relu2"]()(gate), gate.clamp(min=0) ** 2)


def test_balance() -> None:
    """As many as each place takes where all experts are used alike, and `experts` times that where a few do all the work."""
    even = torch.eye(4).repeat(3, 1) * 20  # each place sure of another expert
    assert float(balance_loss([even], 1)) == pytest.approx(1, abs=1e-4)
    one = torch.zeros(12, 4)
    one[:, 2] = 20
    assert float(balance_loss([one], 1)) == pytest.approx(4, abs=1e-4)
    assert float(balance_loss([even, one], 1)) == pytest.approx(4 * (0.125**2 * 3 + 0.625**2), abs=1e-4), "over all layers"
