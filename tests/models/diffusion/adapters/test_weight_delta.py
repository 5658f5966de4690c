"""What each kind of adapter adds to a weight, held against its formula written out."""

import math

import pytest
import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.cpu.onednn import pack
from mmgen.models.diffusion.adapters.weight_delta import delta_of, plain_weight

RANK, ALPHA = 2, 3.0


def given(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(12, 8)


def conv(**options: int) -> nn.Conv2d:
    torch.manual_seed(2)
    return nn.Conv2d(6, 8, 3, padding=1, **options)


def expect(layer: nn.Module, tensors: dict[str, Tensor], whole: Tensor) -> None:
    """D is `whole`, and what it adds to an output is what the layer with W + D gives more, packed for a CPU or not."""
    delta = delta_of(layer, tensors, lambda rank: ALPHA)
    weight = layer.weight
    torch.testing.assert_close(delta.weight(weight.shape), whole.reshape(weight.shape), atol=1e-5, rtol=1e-4)
    x = torch.randn(2, 12) if weight.dim() == 2 else torch.randn(2, 6, 8, 8)
    with torch.inference_mode():
        plain, added = layer(x), delta(layer, x)
        packed = pack(nn.Sequential(layer))[0]
        assert torch.equal(delta(packed, x), added)
        changed = delta_of(packed, tensors, lambda rank: ALPHA)
        torch.testing.assert_close(changed.weight(whole.shape), whole, atol=1e-5, rtol=1e-4)
        layer.weight.add_(whole.reshape(weight.shape))
        torch.testing.assert_close(plain + added, layer(x), atol=1e-4, rtol=1e-4)


def test_lora() -> None:
    tensors = given(down=(RANK, 12), up=(8, RANK))
    expect(linear(), tensors, ALPHA / RANK * tensors["up"] @ tensors["down"])
    tensors = given(down=(RANK, 12, 1, 1), up=(8, RANK, 1, 1))  # of a 1 x 1 convolution that is a linear layer here
    expect(linear(), tensors, ALPHA / RANK * tensors["up"].flatten(1) @ tensors["down"].flatten(1))


def test_convolutions() -> None:
    tensors = given(down=(RANK, 6, 3, 3), up=(8, RANK, 1, 1))
    expect(conv(stride=2), tensors, ALPHA / RANK * torch.einsum("or, rikl -> oikl", tensors["up"][..., 0, 0], tensors["down"]))
    tensors = given(down=(RANK, 6, 1, 1), mid=(RANK, RANK, 3, 3), up=(8, RANK, 1, 1))
    whole = torch.einsum("or, rskl, si -> oikl", tensors["up"][..., 0, 0], tensors["mid"], tensors["down"][..., 0, 0])
    expect(conv(), tensors, ALPHA / RANK * whole)


def test_biases() -> None:
    layer, tensors = linear(), given(down=(RANK, 12), up=(8, RANK), up_bias=(8,))
    delta = delta_of(layer, tensors, lambda rank: ALPHA)
    x = torch.randn(3, 12)
    expected = ALPHA / RANK * (x @ tensors["down"].T @ tensors["up"].T + tensors["up_bias"])
    torch.testing.assert_close(delta(layer, x), expected, atol=1e-5, rtol=1e-4)
    alone = delta_of(layer, given(diff_bias=(8,)), lambda rank: ALPHA)
    torch.testing.assert_close(alone(layer, x), given(diff_bias=(8,))["diff_bias"].expand(3, 8))


def test_loha() -> None:
    tensors = given(w1_a=(8, RANK), w1_b=(RANK, 12), w2_a=(8, RANK), w2_b=(RANK, 12))
    halves = [tensors[f"w{n}_a"] @ tensors[f"w{n}_b"] for n in "12"]
    expect(linear(), tensors, ALPHA / RANK * halves[0] * halves[1])
    cores = {f"t{n}": (RANK, RANK, 3, 3) for n in "12"}
    tensors = given(**cores, w1_a=(RANK, 8), w1_b=(RANK, 6), w2_a=(RANK, 8), w2_b=(RANK, 6))
    halves = [torch.einsum("ijkl, jn, im -> mnkl", tensors[f"t{n}"], tensors[f"w{n}_b"], tensors[f"w{n}_a"]) for n in "12"]
    expect(conv(), tensors, ALPHA / RANK * halves[0] * halves[1])


def test_lokr() -> None:
    tensors = given(w1=(2, 3), w2=(4, 4))
    expect(linear(), tensors, torch.kron(tensors["w1"], tensors["w2"]))  # whole ones are divided by nothing
    tensors = given(w1=(2, 3), kr2_a=(4, RANK), kr2_b=(RANK, 4))
    expect(linear(), tensors, ALPHA / RANK * torch.kron(tensors["w1"], tensors["kr2_a"] @ tensors["kr2_b"]))
    tensors = given(kr1_a=(2, 1), kr1_b=(1, 2), w2=(4, 3, 3, 3))
    one = (tensors["kr1_a"] @ tensors["kr1_b"])[..., None, None]
    expect(conv(), tensors, ALPHA * torch.kron(one, tensors["w2"]))
    tensors = given(w1=(2, 2), kr2_a=(RANK, 4), kr2_b=(RANK, 3), kr_t2=(RANK, RANK, 3, 3))
    two = torch.einsum("ijkl, jn, im -> mnkl", tensors["kr_t2"], tensors["kr2_b"], tensors["kr2_a"]).contiguous()
    expect(conv(), tensors, ALPHA / RANK * torch.kron(tensors["w1"][..., None, None], two))


def test_a_whole_difference() -> None:
    tensors = given(diff=(8, 6, 3, 3))
    expect(conv(), tensors, tensors["diff"])


@pytest.mark.parametrize("magnitude", [{"dora_scale": (8, 1)}, {"dora_scale": (1, 12)}, {"magnitude": (8,)}])
def test_dora(magnitude: dict[str, tuple[int, ...]]) -> None:
    """Norms of outputs or of inputs, as the magnitudes lie."""
    layer, tensors = linear(), given(down=(RANK, 12), up=(8, RANK), **magnitude)
    ((name, shape),) = magnitude.items()
    weight = layer.weight.detach() + ALPHA / RANK * tensors["up"] @ tensors["down"]
    by_input = shape == (1, 12)
    norm = weight.norm(dim=0, keepdim=True) if by_input else weight.norm(dim=1, keepdim=True)
    whole = weight / norm * tensors[name].view(*((1, 12) if by_input else (8, 1)))
    expect(layer, tensors, whole - layer.weight.detach())


def test_dora_of_a_convolution() -> None:
    layer, tensors = conv(), given(down=(RANK, 6, 3, 3), up=(8, RANK, 1, 1), magnitude=(1, 8, 1, 1))
    weight = layer.weight.detach() + ALPHA / RANK * torch.einsum("or, rikl -> oikl", tensors["up"][..., 0, 0], tensors["down"])
    scale = tensors["magnitude"].view(8, 1, 1, 1) / weight.flatten(1).norm(dim=1).view(8, 1, 1, 1)
    expect(layer, tensors, weight * scale - layer.weight.detach())


def test_orthogonal() -> None:
    """Cayley's transform of each block, bounded by alpha x outputs."""
    layer, blocks = linear(), given(oft_blocks=(2, 4, 4))["oft_blocks"]
    for alpha in (0.0, 0.1):
        turn = blocks - blocks.mT
        if alpha:
            turn = turn / turn.norm() * alpha * 8
        rotation = torch.block_diag(*((torch.eye(4) + one) @ torch.linalg.inv(torch.eye(4) - one) for one in turn))
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(8), atol=1e-4, rtol=0)
        weight = layer.weight.detach().clone()
        expect(layer, {"oft_blocks": blocks, "alpha": torch.tensor(alpha)}, rotation.T @ weight - weight)


def test_butterfly() -> None:
    """Rotations keep lengths; the last level mixes outputs that the first one cannot reach from each other."""
    layer, tensors = linear(), given(oft_blocks=(2, 2, 4, 4))
    weight = layer.weight.detach()
    turned = weight + delta_of(layer, tensors, lambda rank: ALPHA).weight(weight.shape)
    torch.testing.assert_close(turned.norm(dim=0), weight.norm(dim=0), atol=1e-4, rtol=1e-4)
    rescaled = tensors | {"rescale": torch.full((8, 1), 2.0)}
    twice = weight + delta_of(layer, rescaled, lambda rank: ALPHA).weight(weight.shape)
    torch.testing.assert_close(twice, 2 * turned)


def test_norms() -> None:
    tensors = given(diff=(8,), diff_bias=(8,))
    for layer, x in ((nn.GroupNorm(2, 8), torch.randn(2, 8, 4, 4)), (nn.LayerNorm(8), torch.randn(2, 5, 8))):
        delta = delta_of(layer, tensors, lambda rank: ALPHA)
        with torch.inference_mode():
            plain, added = layer(x), delta(layer, x)
            layer.weight.add_(tensors["diff"])
            layer.bias.add_(tensors["diff_bias"])
            torch.testing.assert_close(plain + added, layer(x), atol=1e-5, rtol=1e-4)


def test_what_does_not_fit() -> None:
    for tensors, told in (
        (given(down=(RANK, 9), up=(8, RANK)), "is 8 x 12 and not 8 x 9"),
        (given(down=(RANK, 12)), "has down, but LoRA needs both"),
        (given(w1_a=(8, RANK), w1_b=(RANK, 12), w2_a=(8, RANK)), "lacks its tensor 'w2_b'"),
        (given(diff=(7, 7)), "is 8 x 12 and not of 49 numbers"),
        (given(oft_blocks=(2, 3, 3)), "has 8 outputs and not 2 x 3"),
        (given(alpha=()), "has alpha alone"),
        (given(down=(RANK, 12), up=(8, RANK), alpha=(3,)), "has 3 numbers as its alpha, where one is read"),
        (given(down=(0, 12), up=(8, 0)), r"has its down without any number .0 x 12., so its rank is 0"),
        (given(down=(12,), up=(8,)), "has its down in 1 dimensions, where a matrix is read"),
        (given(down=(RANK, 12), up=(8, 3)), "has matrices of unlike ranks, 2 and 3"),
        (given(w1=(2, 3), w2=(4,)), "has its w2 in 1 dimensions"),
        (given(oft_blocks=(2, 2)), "do not fit each other"),
        ({"down": torch.ones(RANK, 12, dtype=torch.int8), "up": torch.ones(8, RANK)}, "has its down in int8, a form"),
    ):
        with pytest.raises(BadWeights, match=told):
            delta_of(linear(), tensors, lambda rank: ALPHA)
    with pytest.raises(BadWeights, match="is a Embedding, which no adapter changes"):
        delta_of(nn.Embedding(3, 4), given(diff=(3, 4)), lambda rank: ALPHA)


def test_weights_are_read_however_they_lie() -> None:
    for layer, x in ((linear(), torch.zeros(1, 12)), (conv(), torch.zeros(1, 6, 8, 8))):
        weight = layer.weight.detach().clone()
        packed = pack(nn.Sequential(layer))
        with torch.inference_mode():
            packed(x)
        assert math.prod(plain_weight(packed[0]).shape) == weight.numel()
        torch.testing.assert_close(plain_weight(packed[0]), weight)
