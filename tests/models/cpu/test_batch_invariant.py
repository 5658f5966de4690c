"""A row's result is the same, to the bit, alone and in any batch, on one thread and on several: what docs/determinism.md says.

Where a library's update changes that, the function concerned is to be computed in another way, and the table to be mended.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu import batch_invariant as bi
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.cpu.onednn import pack
from mmgen.models.quantization.int8 import quantize

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True, params=[1, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 3))])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def rows(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def invariant(function: Callable[..., Tensor], *batches: Tensor) -> bool:
    """Of every row of (B, ...) alone, in the whole batch, and in a part of it at another place."""
    with torch.inference_mode():
        alone = torch.cat([function(*(x[n : n + 1].clone() for x in batches)) for n in range(len(batches[0]))])
        parts = [slice(0, None), slice(2, 5), slice(3, None)]
        return all(torch.equal(function(*(x[part].clone() for x in batches)), alone[part]) for part in parts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("inputs", "outputs"), [(384, 96), (1536, 64), (24, 7), (320, 1)])
def test_products(inputs: int, outputs: int, dtype: torch.dtype) -> None:
    """By rows alone, by few and by many; with weights laid out for oneDNN, and in int8."""
    weight, bias = rows(outputs, inputs, dtype=dtype, seed=1) / 16, rows(outputs, dtype=dtype, seed=2)
    layer = nn.Linear(inputs, outputs).to(dtype)
    layer.weight.data, layer.bias.data = weight, bias
    ways: list[Callable[[Tensor], Tensor]] = [lambda x: bi.product(x, weight, bias)]
    if dtype == torch.float32:
        ways += [pack(nn.Sequential(layer)), quantize(nn.Sequential(layer))]
    for way in ways:
        for places in (1, 3, 40):
            assert invariant(way, rows(9, places, inputs, dtype=dtype))
        many = rows(700, inputs, dtype=dtype)
        with torch.inference_mode():
            assert torch.equal(way(many)[:33], way(many[:33]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 8, 17])
@pytest.mark.parametrize(("kernel", "stride", "outputs"), [(3, 1, 32), (3, 2, 32), (1, 1, 48), (3, 1, 3)])
def test_convolutions(kernel: int, stride: int, outputs: int, size: int, dtype: torch.dtype) -> None:
    conv = nn.Conv2d(32, outputs, kernel, stride, kernel // 2).to(dtype).requires_grad_(False)
    network = hold(nn.Sequential(conv))
    assert invariant(network, rows(6, 32, size, size, dtype=dtype))
    assert invariant(pack(network), rows(6, 32, size, size, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("queries", "keys", "width"), [(1, 37, 32), (2, 2, 16), (3, 3, 20), (5, 5, 8), (17, 17, 32), (40, 77, 10)]
)
def test_attention(queries: int, keys: int, width: int, dtype: torch.dtype) -> None:
    q, k, v = rows(6, 3, queries, width, dtype=dtype), *(rows(6, 3, keys, width, dtype=dtype, seed=n) for n in (1, 2))
    seen = torch.arange(keys) <= torch.arange(6)[:, None, None, None]
    scale = width**-0.5
    assert invariant(lambda q, k, v: bi.attention(q, k, v, scale=scale), q, k, v)
    assert invariant(lambda q, k, v, seen: bi.attention(q, k, v, seen, scale=scale), q, k, v, seen)
    assert invariant(lambda q, k, v, seen: bi.attention(q, k, v, seen, scale=scale), q, k, v, seen.expand(6, 1, queries, keys))
    if queries == keys:
        assert invariant(lambda q, k, v: bi.attention(q, k, v, causal=True, scale=scale), q, k, v)


@pytest.mark.parametrize(("queries", "width", "causal"), [(1, 16, False), (3, 16, True), (2, 8, True), (6, 9, False)])
def test_attention_is_what_torch_computes(queries: int, width: int, causal: bool) -> None:
    q, k, v = (rows(2, 3, queries, width, seed=n) for n in range(3))
    mask = None if causal else rows(2, 1, queries, queries, seed=3)
    with torch.inference_mode():
        expected = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=0.3)
        torch.testing.assert_close(bi.attention(q, k, v, mask, causal, scale=0.3), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 33), (37, 100), (11, 1536), (48, 33, 33)])
@pytest.mark.parametrize(
    ("function", "expected"),
    [(bi.silu, F.silu), (bi.sigmoid, torch.sigmoid), (bi.gelu_tanh, lambda x: F.gelu(x, approximate="tanh"))],
)
def test_activations(
    function: Callable[[Tensor], Tensor], expected: Callable[[Tensor], Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = rows(6, *shape, dtype=dtype)
    assert invariant(function, x)
    with torch.inference_mode():
        torch.testing.assert_close(function(x), expected(x))
    x.requires_grad_()
    function(x).sum().backward()
    assert x.grad is not None


def test_activations_on_several_threads() -> None:
    torch.set_num_threads(3)
    for function in (bi.silu, bi.sigmoid, bi.gelu_tanh):
        assert invariant(function, rows(6, 97, 100))


TORCHS_OWN: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "cos": torch.cos,
    "erf": torch.erf,
    "log_sigmoid": F.logsigmoid,
    "softmax": lambda x: x.softmax(-1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:]),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "sum of a row": lambda x: x.sum(-1),
    "sum over places": lambda x: x.sum(1),
    "cumsum": lambda x: x.cumsum(-1),
    "addcmul": lambda x: torch.addcmul(x, x, torch.tensor(0.3, dtype=x.dtype)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TORCHS_OWN)
def test_what_torch_computes_alike_for_every_row(name: str, dtype: torch.dtype) -> None:
    for shape in ((5, 33), (37, 100), (197, 384)):
        assert invariant(TORCHS_OWN[name], rows(6, *shape, dtype=dtype)), shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_images(dtype: torch.dtype) -> None:
    for shape in ((32, 8, 8), (24, 6, 6), (48, 33, 33)):
        x = rows(6, *shape, dtype=dtype)
        assert invariant(lambda x: F.group_norm(x, 8), x)
        assert invariant(lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), x)
        assert invariant(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), x)
        assert invariant(lambda x: F.avg_pool2d(x, 2), x)


def test_a_sum_over_places_does_not_see_padding() -> None:
    x = rows(1, 37, 100)
    for size in (40, 64, 300):
        assert torch.equal(F.pad(x, (0, 0, 0, size - 37)).sum(1), x.sum(1))


def test_other_libraries_networks_are_held_and_stay_what_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.SiLU(), nn.Flatten(2), nn.Linear(16, 4), nn.GELU("tanh"))
    network.requires_grad_(False)
    x = rows(5, 3, 4, 4)
    expected, names = network(x), [*network.state_dict()]
    assert [*hold(network).state_dict()] == names and type(network[3]) is not nn.Linear
    with torch.inference_mode():
        torch.testing.assert_close(network(x), expected)
    assert invariant(network, x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_images_attention_keeps_its_memory_format(layout: torch.memory_format) -> None:
    """One image and several go on in the same, as the convolutions behind read it by other code in another."""
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0

    layer = Attention(
        8, heads=1, dim_head=16, norm_num_groups=2, residual_connection=True, bias=True, processor=AttnProcessor2_0()
    )
    layer = hold(layer).eval()
    convolve = hold(nn.Conv2d(8, 8, 3, padding=1))

    def network(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=layout)
        out = layer(x)
        assert out.is_contiguous(memory_format=layout)
        return convolve(out)

    assert invariant(network, rows(9, 8, 6, 6))


def test_an_activation_in_place_stays_in_place() -> None:
    """As SPAN's network reads its input again."""
    x = rows(2, 3)
    held = hold(nn.Sequential(nn.SiLU(inplace=True)))
    assert held(x) is x and torch.equal(x, F.silu(rows(2, 3)))
    assert hold(nn.Sequential(nn.SiLU()))(x) is not x


def test_group_norms_read_channels_in_plain_order() -> None:
    """As an autoencoder's attention hands them on: places first, turned back into an image."""
    norm = hold(nn.Sequential(nn.GroupNorm(4, 8), nn.SiLU()).requires_grad_(False))
    places = rows(5, 16 * 16, 8)
    assert invariant(lambda x: norm(x.transpose(1, 2).reshape(len(x), 8, 16, 16)), places)
