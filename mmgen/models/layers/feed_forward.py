"""Feed-forward networks over each place: activations, gates and mixtures of experts. Knows no attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import sigmoid
from mmgen.models.cpu.batch_invariant_layers import GELU, SiLU
from mmgen.models.cpu.kernels import LANES, fitting
from mmgen.models.cpu.linear import Linear
from mmgen.models.transformer_config import TransformerConfig


class QuickGELU(nn.Module):
    """`x sigmoid(1.702 x)`, near to GELU; Hendrycks and Gimpel 2016, 2. What OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * sigmoid(1.702 * x)


class SquaredReLU(nn.Module):
    """`max(x, 0)^2`; So et al. 2021."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": GELU,
    "gelu_tanh": lambda: GELU("tanh"),
    "quick_gelu": QuickGELU,
    "relu": nn.ReLU,
    "relu2": SquaredReLU,
    "silu": SiLU,
}


class Gated(nn.Module):
    """`act(gate) * up` of one product's two halves: SwiGLU, GeGLU; Shazeer 2020."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation, self.silu = activation, isinstance(activation, nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        if self.silu and x.shape[-1] % (2 * LANES) == 0 and (made := fitting(x)) is not None:
            return made.gated_silu(x)
        gate, up = x.chunk(2, -1)  # (..., 2 H) -> (..., H)
        return self.activation(gate) * up  # type: ignore[no-any-return]


class ClampedGate(nn.Module):
    """`gate sigmoid(alpha gate) (up + 1)` with both clamped; gpt-oss (OpenAI 2025)."""

    def __init__(self, alpha: float, limit: float) -> None:
        super().__init__()
        self.alpha, self.limit = alpha, limit

    def forward(self, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, -1)  # (..., 2 H) -> (..., H)
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return gate * sigmoid(self.alpha * gate) * (up + 1)


def activation(config: TransformerConfig) -> nn.Module:
    if config.swiglu_limit is not None:
        return ClampedGate(config.swiglu_alpha, config.swiglu_limit)
    plain = ACTIVATIONS[config.activation]()
    return Gated(plain) if config.gated else plain


def up(config: TransformerConfig, size: int | None = None) -> Linear:
    """Into the hidden layer, of `size` or of the shape's own; gate and up are one product."""
    size = config.intermediate_size if size is None else size
    return Linear(config.hidden_size, size * (2 if config.gated else 1), bias=config.feed_forward_bias)


def down(config: TransformerConfig, size: int | None = None) -> Linear:
    size = config.intermediate_size if size is None else size
    return Linear(size, config.hidden_size, bias=config.feed_forward_bias)


class Expert(nn.Module):
    """One feed-forward of a mixture, with a hidden layer of `size`."""

    def __init__(self, config: TransformerConfig, size: int) -> None:
        super().__init__()
        self.up, self.activation, self.down = up(config, size), activation(config), down(config, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))  # type: ignore[no-any-return]


class Experts(nn.Module):
    """A mixture: each place goes to the `experts_per_token` experts its router likes best; Jiang et al. 2024, 2.1."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.chosen, self.normalised = config.experts_per_token, config.norm_topk_prob
        self.router = Linear(config.hidden_size, config.experts, bias=config.router_bias)
        self.each = nn.ModuleList(Expert(config, config.expert_size) for _ in range(config.experts))
        self.shared = Expert(config, config.shared_intermediate_size) if config.shared_intermediate_size else None

    def forward(self, x: Tensor, routing: list[Tensor] | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); the router's logits (B N, experts) are appended to `routing`."""
        places = x.reshape(-1, x.shape[-1])
        logits = self.router(places)
        if routing is not None:
            routing.append(logits)
        shares, chosen = logits.float().softmax(-1).topk(self.chosen, -1)  # (B N, K)
        shares = (shares / shares.sum(-1, keepdim=True) if self.normalised else shares).to(x.dtype)
        out = torch.zeros_like(places) if self.shared is None else self.shared(places)
        if len(places) == 1:  # in the order of experts, as below
            for expert, rank in sorted((expert, rank) for rank, expert in enumerate(chosen[0].tolist())):
                out = out + self.each[expert](places) * shares[0, rank]
            return out.view_as(x)
        for expert in chosen.unique().tolist():
            place, ranks = torch.where(chosen == expert)
            out.index_add_(0, place, self.each[expert](places[place]) * shares[place, ranks, None])
        return out.view_as(x)


def balance_loss(routing: Sequence[Tensor], chosen: int) -> Tensor:
    """How unevenly routers use their experts; `chosen` where all are used alike. Fedus et al. 2021, eq. 4 to 6.

    `routing`: logits (places, experts) of every layer; `chosen`: experts a place goes to.
    """
    logits = torch.cat(list(routing))
    probabilities = logits.float().softmax(-1)
    used = F.one_hot(probabilities.topk(chosen, -1).indices, logits.shape[-1]).float()  # (places, K, experts)
    return logits.shape[-1] * (used.mean(0) * probabilities.mean(0)).sum()
