"""Our kernels: what oneDNN and torch give, to the bit where that is promised, and nothing lost where they cannot be made."""

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mmgen.models.cpu import build, kernels, onednn
from mmgen.models.cpu.onednn import PackedLinear
from mmgen.models.layers.attention import AttentionRules
from mmgen.models.layers.feed_forward import Gated
from mmgen.models.layers.norms import RMSNorm
from mmgen.models.layers.positions import Rotary
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.quantization import int4, int8
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformer_config import TransformerConfig

pytestmark = pytest.mark.usefixtures("two_threads")
needed = pytest.mark.skipif(kernels.kernels() is None, reason=f"there are no kernels here: {build.reason()}")


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a compiler."""
    for module in (kernels, onednn, int8, int4):
        monkeypatch.setattr(module, "kernels", lambda: None)
    monkeypatch.setattr(onednn, "_found", {})


@needed
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(768, 768), (2048, 96), (100, 72), (64, 50), (1, 1), (17, 300), (3000, 130)])
def test_few_rows_are_onednns_to_the_bit(inputs: int, outputs: int, bias: bool) -> None:
    layer = PackedLinear(nn.Linear(inputs, outputs, bias=bias))
    x = torch.randn(70, inputs)
    whole = torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")
    for rows in (1, 2, 3, 4, 5, 6, 7, 12, 13, 32, 33):
        assert torch.equal(layer(x[:rows]), whole[:rows]), rows
    assert layer(x[0]).shape == (outputs,) and layer(x[:0]).shape == (0, outputs)
    assert torch.equal(layer(x.T.contiguous().T[:2]), whole[:2]), "however its numbers lie"


@needed
@pytest.mark.parametrize("offset", [4, 20, 64])
def test_weights_may_lie_at_any_address(offset: int) -> None:
    layer, x = PackedLinear(nn.Linear(100, 72)), torch.randn(3, 100)
    assert layer.few is not None
    count = torch.ops.mkldnn._nbytes(layer.weight)
    room = torch.empty(count + 192, dtype=torch.uint8)
    place = room.data_ptr() + -room.data_ptr() % 64 + offset
    ctypes.memmove(place, torch.ops.mkldnn.data_ptr(layer.weight), count)
    y = torch.empty(3, 72)
    layer.few.multiply(3, x.data_ptr(), place, 0, y.data_ptr(), 3, 100, 72, layer.few.padded, layer.few.chunk)
    assert torch.equal(y, layer.few(x, layer.weight, None))


@needed
def test_layouts_of_usual_sizes_are_read() -> None:
    """Otherwise the test above would compare oneDNN with itself, which lays out the last size otherwise without AVX-512."""
    sizes = [(768, 768), (2048, 96), (100, 72)] + [(3000, 130)] * torch.cpu._is_avx512_supported()
    assert all(PackedLinear(nn.Linear(*size)).few is not None for size in sizes)
    assert Int8Linear(nn.Linear(768, 96)).kernels is not None or not kernels.kernels().integers  # type: ignore[union-attr]


@needed
def test_a_layout_that_it_does_not_read_is_left_to_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_found", {})
    monkeypatch.setattr(onednn, "CHUNKS", (3, 5))  # orders that oneDNN does not sum in
    layer, plain = PackedLinear(linear := nn.Linear(512, 64)), torch.randn(2, 512)
    assert layer.few is None
    torch.testing.assert_close(layer(plain), linear(plain))


@needed
@pytest.mark.parametrize(("inputs", "outputs"), [(768, 768), (2048, 96), (100, 72), (64, 50), (5, 3)])
def test_int8_is_onednns_to_the_bit(inputs: int, outputs: int) -> None:
    layer, biased = Int8Linear(nn.Linear(inputs, outputs, bias=False)), Int8Linear(nn.Linear(inputs, outputs))
    x = torch.randn(40, inputs) * torch.logspace(-3, 3, 40)[:, None]
    x[7] = 0
    for rows in (1, 2, 3, 4, 5, 8, 32, 33):
        assert torch.equal(layer(x[-rows:]), layer._onednn(x[-rows:])), rows
        assert torch.equal(biased(x[-rows:]), biased._onednn(x[-rows:])), rows
    assert torch.equal(layer(x[7]), torch.zeros(outputs))


@needed
@pytest.mark.parametrize(("inputs", "outputs"), [(768, 768), (32, 16), (96, 80), (2048, 144)])
def test_int4_is_the_rounded_weights_product(inputs: int, outputs: int) -> None:
    linear = nn.Linear(inputs, outputs)
    layer = Int4Linear(linear)
    exact = int4.restored(*int4.rounded(linear.weight.detach())).double()
    x = torch.randn(9, inputs)
    x[3] = 0
    for rows in range(1, 10):
        y, expected = layer(x[-rows:]), F.linear(x[-rows:].double(), exact, linear.bias.double())
        assert (y - expected).norm() / expected.norm() < 0.01, rows
    torch.testing.assert_close(layer(x[3]), linear.bias.detach())


def test_int4_as_torch_computes_it(nowhere: None) -> None:
    linear = nn.Linear(128, 64)
    layer, x = Int4Linear(linear), torch.randn(2, 5, 128)
    expected = F.linear(x, int4.restored(*int4.rounded(linear.weight.detach())), linear.bias)
    assert layer.kernels is None and (layer(x) - expected).norm() / expected.norm() < 0.01


@needed
@pytest.mark.parametrize("width", [16, 64, 768])
def test_norms(width: int) -> None:
    norm = RMSNorm(width, 1e-6)
    norm.weight.copy_(torch.rand(width))
    x = torch.randn(3, 21, width) * torch.logspace(-4, 4, 21)[:, None]
    y = norm(x)
    torch.testing.assert_close(y.double(), F.rms_norm(x.double(), (width,), norm.weight.double(), 1e-6), rtol=1e-6, atol=1e-6)
    assert torch.equal(norm(x[1:2, 4:5]), y[1:2, 4:5]) and torch.equal(norm(x[:, :0]), x[:, :0])
    assert torch.equal(norm(x.transpose(0, 1)), y.transpose(0, 1))


@needed
def test_gates() -> None:
    gated, x = Gated(nn.SiLU()), torch.randn(2, 12, 64) * 4
    x[0, 0, :8] = torch.tensor([0.0, -0.0, 88.0, -88.0, 1e4, -1e4, 1e-30, -1e-30])
    gate, up = x.double().chunk(2, -1)
    torch.testing.assert_close(gated(x).double(), F.silu(gate) * up, rtol=1e-6, atol=1e-30)
    assert torch.equal(gated(x[1, 3]), gated(x)[1, 3])


@needed
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(bad: float) -> None:
    """Otherwise damaged weights would go unnoticed."""
    x = torch.randn(3, 96)
    x[1, 5] = bad
    for layer in (PackedLinear(nn.Linear(96, 64)), Int8Linear(nn.Linear(96, 64)), Int4Linear(nn.Linear(96, 64))):
        assert not torch.isfinite(layer(x)[1]).any() and torch.isfinite(layer(x)[::2]).all(), type(layer)
    assert not torch.isfinite(Gated(nn.SiLU())(x.repeat(1, 2))[1, 5])
    made, q, k = kernels.kernels(), torch.ones(1, 1, 16), torch.randn(2, 1, 40, 16)
    assert made is not None
    k[0, 0, 7, 3] = bad
    assert torch.isnan(made.attend(kernels.DecodeBatch([(0, [(0, 40)])]), q, k[0], k[1], 1.0)).all()


def spans_of(draw: Callable[..., int], keys: int, places: int) -> list[tuple[int, int]]:
    """The keys of a text as pieces anywhere among the places; pieces may lie over each other."""
    spans = []
    while keys:
        count = draw(st.integers(1, keys))
        start = draw(st.integers(0, places - count))
        spans.append((start, start + count))
        keys -= count
    return spans


@needed
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_query_of_each_text(data: st.DataObject) -> None:
    groups, share, size = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 3)),
        data.draw(st.sampled_from([16, 48, 64, 128])),
    )
    window = data.draw(st.one_of(st.none(), st.integers(1, 60)))
    places, texts = 90, []
    for row in data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=5)):
        texts.append((row, spans_of(data.draw, data.draw(st.integers(1, 70)), places)))
    q, pool = torch.randn(6, groups * share, size), torch.randn(2, groups, places, size)
    made = kernels.kernels()
    assert made is not None
    found = made.attend(kernels.DecodeBatch(texts), q, pool[0], pool[1], 0.3, window)
    for (row, spans), y in zip(texts, found, strict=True):
        k, v = (torch.cat([one[:, start:end] for start, end in spans], 1)[None, :, -(window or 999) :].double() for one in pool)
        expected = F.scaled_dot_product_attention(q[row].double()[None, :, None], k, v, scale=0.3, enable_gqa=True)
        torch.testing.assert_close(y.double(), expected[0, :, 0], rtol=1e-5, atol=1e-5)


def test_scores_of_any_size_give_numbers() -> None:
    made = kernels.kernels()
    if made is None:
        pytest.skip(build.reason())
    q, k = torch.full((1, 1, 16), 50.0), torch.zeros(1, 3, 16)
    k[0, 1], k[0, 2] = 50.0, -50.0
    y = made.attend(kernels.DecodeBatch([(0, [(0, 3)])]), q, k, torch.randn(1, 3, 16), 1.0)
    assert torch.isfinite(y).all()


@needed
@pytest.mark.parametrize("turned", [0, 8, 16])
@pytest.mark.parametrize("window", [None, 5])
def test_a_pass_of_single_tokens_in_one_go(turned: int, window: int | None) -> None:
    """Like the same pass step by step, with the same keys and values kept."""
    config = TransformerConfig(
        vocab_size=9, hidden_size=64, layers=1, heads=4, num_kv_heads=2, intermediate_size=8, max_tokens=256
    )
    rules = AttentionRules(0, causal=True, scale=0.25, window=window)
    pools, outputs = [], []
    for fast in (True, False):
        torch.manual_seed(1)
        pool, tables = KVPool(config, 12), [BlockTable(0), BlockTable(0), BlockTable(0)]
        for kept in (*pool.keys, *pool.values):
            kept.normal_()
        for length, table in zip((3, 17, 40), tables, strict=True):  # taken in turns, so that blocks do not lie together
            while table.length < length:
                pool.extend(table, 1)
                table.length += 1
        for table in tables:
            assert pool.extend(table, 1) is not None
        paged = PagedAttention(pool, [PagedSequence(table, 1) for table in tables])
        q, k, v = torch.randn(1, 3, 8, 16).split((4, 2, 2), 2)
        rotation = None
        if turned:
            rotation = Rotary(turned, 100.0, 256)(torch.tensor([3, 17, 40]), torch.tensor([4, 18, 41]))
        if fast:
            y = paged.in_one_go(rules, q, k, v, rotation)
            assert y is not None
        else:
            if rotation is not None:
                q, k = rotation.turn(q), rotation.turn(k)
            y = paged.attend(rules, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
        pools.append(torch.stack((pool.keys[0], pool.values[0])))
        outputs.append(y)
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*pools, rtol=1e-6, atol=1e-6)


def test_nothing_is_done_where_it_is_not_known() -> None:
    config = TransformerConfig(
        vocab_size=9, hidden_size=64, layers=1, heads=4, num_kv_heads=2, intermediate_size=8, max_tokens=256
    )
    pool, table = KVPool(config, 4), BlockTable(0)
    pool.extend(table, 2)
    q, k, v = torch.randn(1, 1, 8, 16).split((4, 2, 2), 2)
    for rules in (AttentionRules(0, causal=True, softcap=2.0), AttentionRules(0, causal=True, bias=lambda q, k: q)):
        assert PagedAttention(pool, [PagedSequence(table, 1)]).in_one_go(rules, q, k, v, None) is None
    two = torch.randn(1, 2, 8, 16).split((4, 2, 2), 2)
    assert PagedAttention(pool, [PagedSequence(table, 2)]).in_one_go(AttentionRules(0, causal=True), *two, None) is None
    with torch.inference_mode(False):
        assert kernels.fitting(torch.zeros(2)) is None, "with gradients"
    assert (
        kernels.fitting(torch.zeros(2, dtype=torch.float64)) is None and kernels.fitting(torch.zeros(2, device="meta")) is None
    )


@needed
def test_threads_are_torchs() -> None:
    """One pool of them: as many as torch was told, whoever multiplies."""
    program = """
import torch
from pathlib import Path
torch.set_num_threads(2)
from mmgen.models.cpu.onednn import PackedLinear
layer, x = PackedLinear(torch.nn.Linear(512, 4096)), torch.randn(64, 512)
with torch.inference_mode():
    torch.nn.functional.relu(torch.zeros(1 << 20)); layer(x)
    before = len(list(Path("/proc/self/task").iterdir()))
    layer(x[:1])
    print(layer.few is not None, len(list(Path("/proc/self/task").iterdir())) - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True", "0"]


def test_a_model_writes_the_same_with_and_without(tiny_llama: Path, request: pytest.FixtureRequest) -> None:
    from mmgen.models.lm import language_model

    def logits() -> Tensor:
        lm = language_model.load(tiny_llama)
        lm.pack()
        return lm(torch.arange(1, 9)[None])

    with_kernels = logits()
    request.getfixturevalue("nowhere")
    torch.testing.assert_close(logits(), with_kernels, rtol=1e-4, atol=1e-5)
