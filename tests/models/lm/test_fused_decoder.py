"""All blocks in one call: to the bit what they give one after another, and not used where something is of another kind."""

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from block_models import LLAMA, in_blocks, whole_in_blocks
from torch import Tensor

from mmgen.models.cpu import build
from mmgen.models.cpu.kernels import kernels
from mmgen.models.cpu.onednn import pack
from mmgen.models.layers.attention import AttentionBackend, VarlenAttention
from mmgen.models.lm.fused_decoder import FusedDecoder, install
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization import bf16_blocks
from mmgen.models.quantization.int8 import quantize
from mmgen.models.transformer_config import TransformerConfig
from mmgen.text_params import Sampling

pytestmark = [
    pytest.mark.skipif(build.library() is None, reason=f"there are no kernels here: {build.reason()}"),
    pytest.mark.usefixtures("two_threads"),
]
SHAPES = {
    "llama": LLAMA,
    "qwen2": replace(LLAMA, qkv_bias=True),
    "qwen3": replace(LLAMA, qk_norm=True, head_dim=32),
    "mistral": replace(LLAMA, window=9),
    "windows in turn": replace(LLAMA, window=9, windowed=(True, False), rope_theta_windowed=500.0),
    "half turned": replace(LLAMA, rotary_dim=8),
    "learned": replace(LLAMA, positions="learned"),
}

INTEGERS = pytest.mark.skipif(not ((found := kernels()) and found.integers), reason="has no kernels for integers")
INT8, INT4 = (pytest.param(name, marks=INTEGERS) for name in ("int8", "int4"))
BF16 = pytest.param("bf16", marks=pytest.mark.skipif(not bf16_blocks.available(), reason="has no products of bfloat16, or AMX"))


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def made(config: TransformerConfig, precision: str = "fp32") -> Transformer:
    model = Transformer(config).eval()
    if precision == "blocks":
        in_blocks(model)
    elif precision == "bf16":
        assert bf16_blocks.pack(model.bfloat16(), model.embed.words)
    elif precision != "fp32":
        quantize(model, precision)
    pack(model)
    install(model)
    return model


class Calls:
    """How often all blocks were one call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        run = FusedDecoder._run

        def counted(*args: Any) -> Tensor:
            self.count += 1
            return run(*args)

        monkeypatch.setattr(FusedDecoder, "_run", counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def write(model: Transformer, texts: int = 3, tokens: int = 14, prompts: bool = False) -> tuple[list[Tensor], Tensor]:
    """States of the tokens that follow prompts of different lengths, read one by one, and what is kept of all.

    `prompts`: they may be read in one call, too.
    """
    torch.manual_seed(1)
    pool, tables = KVPool(model.config, 6 * texts), [BlockTable(0) for _ in range(texts)]
    for kept in (*pool.keys, *pool.values):
        kept.zero_()
    states, fused = [], model.fused
    for counts in ([3 + 7 * (text % 6) for text in range(texts)], *[[1] * texts] * tokens):
        starts = [table.length for table in tables]
        for table, count in zip(tables, counts, strict=True):
            assert pool.extend(table, count) is not None
        paged = PagedAttention(pool, [PagedSequence(table, count) for table, count in zip(tables, counts, strict=True)])
        ids = torch.randint(0, 50, (1, sum(counts)))
        places = torch.cat([torch.arange(start, start + count) for start, count in zip(starts, counts, strict=True)])
        model.fused = fused if prompts or len(counts) == sum(counts) else None
        states.append(model(ids, paged, positions=places))
        for table, count in zip(tables, counts, strict=True):
            table.length += count
    return states, torch.stack([*pool.keys, *pool.values])


@pytest.mark.parametrize("precision", ["fp32", INT8, INT4, "blocks", BF16])
@pytest.mark.parametrize("shape", SHAPES)
def test_to_the_bit_as_one_after_another(shape: str, precision: str, calls: Calls) -> None:
    model = made(SHAPES[shape], precision)
    together, kept = write(model)
    assert calls.count == 14
    model.fused = None
    apart, kept_apart = write(model)
    assert calls.count == 14 and torch.equal(kept, kept_apart)
    assert all(torch.equal(one, other) for one, other in zip(together, apart, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_in_blocks_are_near_to_one_layer_after_another(shape: str, calls: Calls) -> None:
    model = made(SHAPES[shape], "blocks")
    together, kept = write(model, tokens=3, prompts=True)
    assert calls.count == 4
    model.fused = None
    apart, kept_apart = write(model, tokens=3)
    torch.testing.assert_close(kept, kept_apart, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["blocks", BF16])
def test_a_prompt_in_chunks_and_beside_others_is_the_same_to_the_bit(precision: str) -> None:
    model, ids = made(SHAPES["windows in turn"], precision), torch.randint(0, 50, (1, 90))
    found = []
    for chunks, beside in (((90,), 0), ((1, 40, 3, 46), 0), ((70, 20), 33)):
        pool, table, other, states = KVPool(model.config, 16), BlockTable(0), BlockTable(0), []
        for count in chunks:
            assert pool.extend(table, count) is not None and (not beside or pool.extend(other, beside) is not None)
            start, room = table.length, torch.randint(0, 50, (1, beside))
            both = torch.cat((room, ids[:, start : start + count]), 1)
            sequences = [PagedSequence(other, beside)] * bool(beside) + [PagedSequence(table, count)]
            places = torch.cat((other.length + torch.arange(beside), torch.arange(start, start + count)))
            states.append(model(both, PagedAttention(pool, sequences), positions=places)[0, beside:])
            table.length, other.length = start + count, other.length + beside
        found.append(torch.cat(states))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_from_ids_to_logits_in_one_call(calls: Calls) -> None:
    model = whole_in_blocks()
    fused, found = model.transformer.fused, []
    for one in (fused, None):
        pool, tables = KVPool(model.config, 4), [BlockTable(0), BlockTable(0)]
        model.transformer.fused = one
        for counts, wanted in (((5, 3), [4]), ((1, 1), [0, 1]), ((2, 1), [])):
            for table, count in zip(tables, counts, strict=True):
                assert pool.extend(table, count) is not None
            paged = PagedAttention(pool, [PagedSequence(*both) for both in zip(tables, counts, strict=True)])
            places = torch.cat([table.length + torch.arange(count) for table, count in zip(tables, counts, strict=True)])
            found.append(
                model.read(torch.arange(sum(counts))[None] % 50, paged, places, torch.tensor(wanted, dtype=torch.long))
            )
            for table, count in zip(tables, counts, strict=True):
                table.length += count
    assert calls.count == 3
    table = tables[0]
    for wanted in ([], [2], [0, 1, 4]):  # the last block of wanted rows alone
        pool.extend(table, 5)
        read, both = (torch.arange(5)[None], torch.arange(5) + table.length, torch.tensor(wanted, dtype=torch.long)), []
        model.transformer.fused = fused
        for states in (True, False):
            both.append(model.read(read[0], PagedAttention(pool, [PagedSequence(table, 5)]), *read[1:], states))
        assert torch.equal(both[0][1], both[1][1]) and len(both[1][0]) == 0
    assert calls.count == 9
    for ours, apart in zip(found[:3], found[3:], strict=True):
        torch.testing.assert_close(ours, apart, rtol=1e-4, atol=1e-4)  # attention of a prompt is torch's in the other
    model.transformer.fused = fused
    with pytest.raises(IndexError, match="words are 0 to 49"):
        model.read(
            torch.tensor([[50]]), PagedAttention(pool, [PagedSequence(tables[0], 1)]), torch.tensor([0]), torch.tensor([0])
        )
    handle = model.head.register_forward_hook(lambda *_: None)
    model.read(torch.arange(1)[None], PagedAttention(pool, [PagedSequence(tables[0], 1)]), torch.tensor([0]), torch.tensor([0]))
    handle.remove()
    assert calls.count == 9  # somebody listens


@pytest.mark.parametrize("shape", ["llama", "qwen3", "windows in turn"])
@pytest.mark.parametrize("finals", [(), (7, 30)])
def test_steps_in_one_call_are_those_of_one_each(shape: str, finals: tuple[int, ...]) -> None:
    model, texts = whole_in_blocks(SHAPES[shape]), (5, 12, 30)
    chosen = list[list[list[int]]]()
    for most in (1, 20):
        pool, tables, now = KVPool(model.config, 12), [BlockTable(0) for _ in texts], torch.tensor([[3, 4, 5]])
        for table, count in zip(tables, texts, strict=True):
            assert pool.extend(table, count + 20) is not None
            paged = PagedAttention(pool, [PagedSequence(table, count)])
            model.read(torch.arange(count)[None], paged, torch.arange(count), torch.tensor([count - 1]))
            table.length = count
        steps = list[list[int]]()
        while len(steps) < 20 and not (steps and set(steps[-1]) & set(finals)):
            limits = StepLimits(most, 60.0, ctypes.c_int32(), finals)
            places = torch.tensor([table.length for table in tables]) + torch.arange(most)[:, None]
            paged = PagedAttention(pool, [PagedSequence(table, 1) for table in tables], ahead=most - 1)
            found = model.decode(now, paged, places, limits, [DrawPlan(Sampling(temperature=0))] * 3)
            assert found is not None and found.sound and (most == 20 or len(found.tokens) == 1)
            steps += found.tokens
            now = torch.tensor([steps[-1]])
            for table in tables:
                table.length += len(found.tokens)
        chosen.append(steps)
    assert chosen[0] == chosen[1] and len({tuple(step) for step in chosen[0]}) > 1


def test_steps_end_when_they_are_told_to() -> None:
    model, pool, table = whole_in_blocks(), KVPool(LLAMA, 4), BlockTable(0)
    pool.extend(table, 20)
    likeliest = DrawPlan(Sampling(temperature=0))

    def steps(seconds: float, stop: int) -> Any:
        paged = PagedAttention(pool, [PagedSequence(table, 1)], ahead=9)
        return model.decode(
            torch.tensor([[3]]),
            paged,
            torch.arange(10)[:, None],
            StepLimits(10, seconds, ctypes.c_int32(stop), ()),
            [likeliest],
        )

    assert len(steps(60.0, 1).tokens) == len(steps(0.0, 0).tokens) == 1
    assert len(steps(60.0, 0).tokens) == 10
    model.transformer.norm.weight.fill_(float("nan"))
    found = steps(60.0, 0)
    assert not found.sound and len(found.tokens) == 1
    with pytest.raises(IndexError, match="words are 0 to 49"):
        model.decode(
            torch.tensor([[50]]), PagedAttention(pool, [PagedSequence(table, 1)]), torch.zeros(1, 1, dtype=torch.long),
            StepLimits(1, 60.0, ctypes.c_int32(), ()), [likeliest],
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "layer"}, {"norm_plus_one": True}, {"norm_at": "both"}, {"parallel": True}, {"activation": "gelu"},
        {"gated": False}, {"experts": 2}, {"softcap": 5.0}, {"positions": "alibi"}, {"head_dim": 24}, {"intermediate_size": 72},
    ],
)  # fmt: skip
def test_other_shapes_are_left_to_torch(change: dict[str, Any], calls: Calls) -> None:
    write(made(replace(LLAMA, **change)), tokens=2)
    assert not calls.count


def test_other_passes_are_left_to_torch(calls: Calls) -> None:
    model = made(LLAMA)
    ids = torch.arange(6)[None]
    attending: AttentionBackend = VarlenAttention.of([6])
    model(ids)
    model(ids, attending, positions=torch.arange(6))
    write(model, texts=40, tokens=1)
    model.train()
    write(model, tokens=2)
    assert not calls.count
    model.eval()
    write(model, tokens=2)
    assert calls.count == 2


def test_layers_that_are_replaced_and_heard_are_noticed(calls: Calls) -> None:
    model = made(LLAMA)
    write(model, tokens=1)
    assert calls.count == 1
    block = model.blocks[1]
    heard, own = list[int](), block.up  # type: ignore[union-attr]
    hook = own.register_forward_hook(lambda *_: heard.append(1))  # type: ignore[operator, union-attr]
    write(model, tokens=1)
    assert calls.count == 1 and len(heard) == 2
    hook.remove()
    block.up = torch.nn.Sequential(own)  # type: ignore[union-attr]
    write(model, tokens=1)
    assert calls.count == 1
    block.up = own  # type: ignore[union-attr]
    write(model, tokens=1)
    assert calls.count == 2


@pytest.mark.parametrize("precision", ["fp32", INT8, INT4, "blocks"])
def test_weights_that_went_and_came_back(precision: str, calls: Calls) -> None:
    from mmgen.models.checkpoints.offload import LoadedModel

    loaded = LoadedModel(lambda: made(LLAMA, precision), "cpu")
    (before, _), (once, _) = write(loaded.model), write(loaded.model)
    assert torch.equal(before[-1], once[-1])
    torch.manual_seed(0)
    loaded.drop()
    torch.manual_seed(0)
    loaded.bring()
    after, _ = write(loaded.model)
    loaded.model.fused = None
    apart, _ = write(loaded.model)
    assert calls.count == 42 and torch.equal(after[-1], apart[-1])
