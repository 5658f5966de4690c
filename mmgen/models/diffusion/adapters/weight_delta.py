"""What an adapter adds to one layer at scale 1: factors of low rank, a whole matrix, or a norm's gains. Knows no file.

Every kind is linear in its scale: W + scale * D. For LoRA D is `alpha / r * B A`. DoRA, OFT and BOFT change a weight as a
whole, W to W'; their D is W' - W, as ComfyUI scales them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.errors import BadWeights

Tensors = Mapping[str, Tensor]
"""A layer's, as `lora_file.LoraFile` calls them, in fp32."""


class WeightDelta(Protocol):
    """D of a layer."""

    def __call__(self, layer: Any, x: Tensor) -> Tensor: ...  # D x (and what D adds to the bias): of the layer's output's shape
    def weight(self, shape: torch.Size) -> Tensor: ...  # D itself
    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, eq=False)
class LowRankDelta:
    """`up @ down`; Hu et al. 2021 (LoRA), 4.1. For a convolution `down` is one of the same kernel, `up` one of 1 x 1."""

    down: Tensor  # (r, in), or (r, in, kh, kw)
    up: Tensor  # (out, r), or (out, r, 1, 1); alpha / r is in it
    bias: Tensor | None = None  # (out,)

    def __call__(self, layer: Any, x: Tensor) -> Tensor:
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if down.dim() == 4:
            return F.conv2d(F.conv2d(x, down, None, *convolution(layer)), up, bias)
        return F.linear(F.linear(x, down), up, bias)

    def weight(self, shape: torch.Size) -> Tensor:
        return (self.up.flatten(1) @ self.down.flatten(1)).view(shape)

    @property
    def nbytes(self) -> int:
        return self.down.nbytes + self.up.nbytes


@dataclass(frozen=True, eq=False)
class DenseDelta:
    """A matrix or kernel of the weight's own shape."""

    whole: Tensor
    bias: Tensor | None = None

    def __call__(self, layer: Any, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.whole.dim() == 4:
            return F.conv2d(x, self.whole.to(x.dtype), bias, *convolution(layer))
        return F.linear(x, self.whole.to(x.dtype), bias)

    def weight(self, shape: torch.Size) -> Tensor:
        return self.whole.view(shape)

    @property
    def nbytes(self) -> int:
        return self.whole.nbytes


@dataclass(frozen=True, eq=False)
class NormDelta:
    """Of a layer or group norm's gains and shifts."""

    gain: Tensor | None  # (C,)
    shift: Tensor | None

    def __call__(self, layer: Any, x: Tensor) -> Tensor:
        channels = layer.weight.shape[0]
        gain, shift = (
            x.new_zeros(channels) if one is None else one.to(x.dtype).view(channels) for one in (self.gain, self.shift)
        )
        if isinstance(layer, nn.GroupNorm):
            return F.group_norm(x, layer.num_groups, gain, shift, layer.eps)
        return F.layer_norm(x, layer.normalized_shape, gain, shift, layer.eps)

    def weight(self, shape: torch.Size) -> Tensor:
        return torch.zeros(shape) if self.gain is None else self.gain.view(shape)

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in (self.gain, self.shift) if one is not None)


def convolution(layer: Any) -> tuple[Any, ...]:
    """Stride, padding, dilation and groups, as torch's functions take them."""
    if hasattr(layer, "how"):  # of a packed convolution
        padding, stride, dilation, groups = layer.how
        return stride, padding, dilation, groups
    return layer.stride, layer.padding, layer.dilation, layer.groups


def plain_weight(layer: Any) -> Tensor:
    """A layer's weight in fp32, wherever and however it lies."""
    weight: Tensor = layer.weight.detach()
    return (weight.to_dense() if weight.is_mkldnn else weight).float()


def delta_of(layer: Any, tensors: Tensors, alpha: Callable[[int], float]) -> WeightDelta:
    """D of that layer.

    alpha: of a rank, what is divided by it.
    Raises BadWeights, in words that go on from the layer's name, for shapes of another layer or a kind that is not known.
    """
    for name, tensor in tensors.items():
        _check(name, tensor)
    given = {name: tensor.float() for name, tensor in tensors.items()}
    if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
        return _norm(layer, given)
    if not isinstance(layer, nn.Linear | nn.Conv2d) and not hasattr(layer, "how") and not hasattr(layer, "in_features"):
        raise BadWeights(f"is a {type(layer).__name__}, which no adapter changes here")
    shape = layer.weight.shape
    known = next((kind for kind in KINDS if kind in given), None)
    if known is None:
        raise BadWeights(f"has {', '.join(sorted(given))} alone, which is no adapter of a known kind")
    try:
        delta = KINDS[known](shape, given, alpha, layer)
    except KeyError as why:
        raise BadWeights(f"lacks its tensor {why}, so the file is not whole") from None
    except (RuntimeError, IndexError, ValueError) as why:  # torch tells of matrices that do not fit each other
        raise BadWeights(f"has matrices that do not fit each other ({str(why).splitlines()[0]})") from None
    magnitude = given.get("magnitude", given.get("dora_scale"))
    if magnitude is None:
        return delta
    whole = plain_weight(layer)
    turned = decomposed(whole + delta.weight(shape).to(whole), magnitude.to(whole), by_output="magnitude" in given)
    return DenseDelta(turned - whole, getattr(delta, "bias", None))


def _check(name: str, tensor: Tensor) -> None:
    """Of a tensor alone: one number where one is asked for, a matrix where one is, and some of it."""
    if name in NUMBERS:
        if tensor.numel() != 1:
            raise BadWeights(f"has {tensor.numel()} numbers as its {name}, where one is read")
    elif not tensor.is_floating_point():
        raise BadWeights(f"has its {name} in {str(tensor.dtype).removeprefix('torch.')}, a form that is not read here")
    elif not tensor.numel():
        raise BadWeights(f"has its {name} without any number ({_times(tensor.shape)}), so its rank is 0")
    elif name in FACTORS and tensor.dim() < 2:
        raise BadWeights(f"has its {name} in {tensor.dim()} dimensions, where a matrix is read")


def _norm(layer: Any, given: Tensors) -> NormDelta:
    if not {"diff", "diff_bias"} & given.keys():
        raise BadWeights(f"is a norm, and {', '.join(sorted(given))} say nothing about one")
    gain, shift = given.get("diff"), given.get("diff_bias")
    for one in (gain, shift):
        if one is not None:
            _fits(layer.weight.shape, one.numel())
    return NormDelta(gain, shift)


def _low_rank(shape: torch.Size, given: Tensors, alpha: Callable[[int], float], layer: Any) -> WeightDelta:
    """LoRA and LoCon; with `mid` in Tucker's form, a chain of 1 x 1, k x k and 1 x 1: mid and down are one kernel."""
    if not {"down", "up"} <= given.keys():
        raise BadWeights(f"has {', '.join(sorted(given))}, but LoRA needs both its matrices")
    down, up = given["down"], given["up"]
    factor = alpha(down.shape[0]) / down.shape[0] * float(given.get("scalar", torch.ones(())))
    if "mid" in given:
        down = torch.einsum("ij..., jn -> in...", given["mid"], down.flatten(1))
    rank = down.shape[0]
    if up.dim() == len(shape) and up.shape[:2] == (shape[0], up.numel() // shape[0]) and up.shape[1] != rank:
        raise BadWeights(f"has matrices of unlike ranks, {rank} and {up.shape[1]}")
    if up.shape[0] != shape[0] or up.numel() != shape[0] * rank or down.numel() != rank * math.prod(shape[1:]):
        raise BadWeights(f"is {_times(shape)} and not {up.shape[0]} x {_times(down.shape[1:])}")
    ones = [1] * (len(shape) - 2)
    bias = given.get("up_bias")
    return LowRankDelta(
        down.reshape(rank, *shape[1:]),
        (up * factor).reshape(shape[0], rank, *ones),
        _bias(given, None if bias is None else bias * factor),
    )


def _loha(shape: torch.Size, given: Tensors, alpha: Callable[[int], float], layer: Any) -> WeightDelta:
    """Product of two low-rank matrices, number by number; Hyeon-Woo et al. 2022 (FedPara), eq. 2, and 4 with cores."""
    rank = given["w1_b"].shape[0]
    halves = []
    for n in "12":
        a, b, core = given[f"w{n}_a"], given[f"w{n}_b"], given.get(f"t{n}")
        halves.append(a @ b if core is None else torch.einsum("ij..., jr, ip -> pr...", core, b, a))
    return DenseDelta(_shaped(halves[0] * halves[1], shape, alpha(rank) / rank, given), _bias(given))


def _lokr(shape: torch.Size, given: Tensors, alpha: Callable[[int], float], layer: Any) -> WeightDelta:
    """Kronecker product of two matrices, each whole or of low rank; Edalati et al. 2022 (KronA), eq. 3."""
    rank, one, two = None, given.get("w1"), given.get("w2")
    if one is None:
        rank, one = given["kr1_b"].shape[0], given["kr1_a"] @ given["kr1_b"]
    if two is None:
        rank, a, b = given["kr2_b"].shape[0], given["kr2_a"], given["kr2_b"]
        core = given.get("kr_t2")
        two = a @ b if core is None else torch.einsum("ij..., jr, ip -> pr...", core, b, a)
    one = one.view(*one.shape, *[1] * (two.dim() - one.dim()))
    factor = 1.0 if rank is None else alpha(rank) / rank  # two whole matrices are divided by nothing
    return DenseDelta(_shaped(torch.kron(one, two.contiguous()), shape, factor, given), _bias(given))


def _full(shape: torch.Size, given: Tensors, alpha: Callable[[int], float], layer: Any) -> WeightDelta:
    """The difference itself; or of the bias alone."""
    if "diff" not in given:
        return DenseDelta(torch.zeros(shape), _bias(given))
    return DenseDelta(_shaped(given["diff"], shape, 1.0, given), _bias(given))


def _orthogonal(shape: torch.Size, given: Tensors, alpha: Callable[[int], float], layer: Any) -> WeightDelta:
    """Outputs rotated in blocks, R by Cayley's transform; Qiu et al. 2023 (OFT), or Liu et al. 2024 (BOFT).

    `alpha` is no strength here: times the outputs it bounds how far the rotation goes; 0 is no bound.
    """
    blocks = given["oft_blocks"]
    size = blocks.shape[-1]
    if blocks.shape[-3] * size != shape[0]:
        raise BadWeights(f"has {shape[0]} outputs and not {blocks.shape[-3]} x {size}")
    turn = blocks - blocks.transpose(-1, -2)
    bound = float(given["alpha"]) * shape[0] if "alpha" in given else 0.0
    if bound and (norm := float(turn.norm()) + 1e-8) > bound:
        turn = turn * (bound / norm)
    eye = torch.eye(size)
    rotation = (eye + turn) @ torch.linalg.inv(eye - turn)
    whole = plain_weight(layer)
    rotation = rotation.to(whole)
    if blocks.dim() == 3:
        turned = torch.einsum("knm, kn... -> km...", rotation, whole.unflatten(0, (-1, size))).flatten(0, 1)
    else:
        turned = _butterfly(whole, rotation)
    if "rescale" in given:
        turned = turned * given["rescale"].to(whole).view(-1, *[1] * (whole.dim() - 1))
    return DenseDelta(turned - whole, _bias(given))


def _butterfly(weight: Tensor, rotation: Tensor) -> Tensor:
    """Products of block-diagonal rotations of outputs that lie further and further apart. rotation: (m, n, b, b)."""
    for level, blocks in enumerate(rotation):
        apart, size = 2**level * (blocks.shape[-1] // 2), blocks.shape[-1]
        weight = weight.unflatten(0, (-1, 2, apart)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
        weight = torch.einsum("bij, bj... -> bi...", blocks, weight)
        weight = weight.flatten(0, 1).unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)
    return weight


def decomposed(weight: Tensor, magnitude: Tensor, *, by_output: bool = False) -> Tensor:
    """`m V / |V|`; Liu et al. 2024 (DoRA), eq. 5. Norms are those of outputs, or of inputs where the magnitudes lie so."""
    out, inputs = weight.shape[:2]
    tail = [1] * (weight.dim() - 2)
    if by_output or tuple(magnitude.shape[:2]) == (out, 1):
        _fits(torch.Size([out]), magnitude.numel())
        norm = weight.flatten(1).norm(dim=1).view(out, 1, *tail)
    else:
        _fits(torch.Size([inputs]), magnitude.numel())
        norm = weight.transpose(0, 1).flatten(1).norm(dim=1).view(1, inputs, *tail)
    scale: Tensor = magnitude.view(norm.shape) / norm
    return weight * scale


def _shaped(whole: Tensor, shape: torch.Size, factor: float, given: Tensors) -> Tensor:
    _fits(shape, whole.numel())
    return whole.reshape(shape) * (factor * float(given.get("scalar", torch.ones(()))))


def _bias(given: Tensors, own: Tensor | None = None) -> Tensor | None:
    return given.get("diff_bias", own)


def _fits(shape: torch.Size, numbers: int) -> None:
    if math.prod(shape) != numbers:
        raise BadWeights(f"is {_times(shape)} and not of {numbers} numbers")


def _times(shape: torch.Size) -> str:
    return " x ".join(map(str, shape))


NUMBERS = ("alpha", "scalar")
FACTORS = frozenset({"down", "up", "mid", "w1_a", "w1_b", "w2_a", "w2_b", "w1", "w2", "kr1_a", "kr1_b", "kr2_a", "kr2_b"})
KINDS: dict[str, Callable[[torch.Size, Tensors, Callable[[int], float], Any], WeightDelta]] = {
    "down": _low_rank,
    "up": _low_rank,
    "w1_a": _loha,
    "w1": _lokr,
    "kr1_a": _lokr,
    "oft_blocks": _orthogonal,
    "diff": _full,
    "diff_bias": _full,
}
"""By a tensor that only this kind has."""
