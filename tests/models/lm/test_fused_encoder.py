"""All blocks of an encoder in one call: near to one block after another, to the bit the same alone and among others."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mmgen.models.cpu.bf16 import bf16_products
from mmgen.models.cpu.kernels import kernels
from mmgen.models.layers.attention import VarlenAttention
from mmgen.models.lm import fused_encoder
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization.int8 import quantize
from mmgen.models.reader.prefix_attention import AnswerAttention, PrefixAttention
from mmgen.models.transformer_config import TransformerConfig

made = kernels()
pytestmark = [
    pytest.mark.skipif(made is None or not made.encodes, reason="the kernels want AVX-512 with bfloat16 and VNNI"),
    pytest.mark.usefixtures("two_threads"),
]
BERT = TransformerConfig(
    50, 64, 2, 2, 128, 200, positions="learned", norm="layer", norm_at="post", activation="gelu", causal=False, token_types=2,
    embedding_norm=True,
)  # fmt: skip
SHAPES = {
    "BERT": BERT,
    "long heads": replace(BERT, heads=1),
    "ViT": replace(BERT, norm_at="pre", activation="gelu_tanh", norm_bias=False),
    "CLIP": replace(BERT, norm_at="pre", activation="quick_gelu", causal=True, norm_eps=1e-5),
    "no biases": replace(BERT, activation="relu", qkv_bias=False, out_bias=False, feed_forward_bias=False),
}


@pytest.fixture(autouse=True)
def without_gradients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    torch.manual_seed(0)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with torch.no_grad():
        yield


def rounded(config: TransformerConfig, precision: str) -> Transformer:
    model = Transformer(config).eval()
    for weights in model.parameters():
        weights.normal_(0, 0.3 if weights.dim() > 1 else 0.5)
    (quantize if precision == "int8" else bf16_products)(model)
    fused_encoder.install(model, config)
    assert model.fused is not None
    return model


def states(model: Transformer, rows: list[Tensor]) -> list[Tensor]:
    sizes = [len(row) for row in rows]
    places = torch.cat([torch.arange(size) for size in sizes])
    return list(model(torch.cat(rows)[None], VarlenAttention.of(sizes), positions=places)[0].split(sizes))


def texts(*sizes: int) -> list[Tensor]:
    return [torch.randint(0, 50, (size,)) for size in sizes]


def near(one: Tensor, other: Tensor) -> bool:
    return float((one - other).norm() / other.norm()) < 0.02


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_near_to_one_block_after_another(shape: str, precision: str) -> None:
    model, rows = rounded(SHAPES[shape], precision), texts(1, 70, 64, 13)
    together = states(model, rows)
    assert model.fused._looked()  # type: ignore[union-attr]
    model.fused = None
    assert all(near(one, other) for one, other in zip(together, states(model, rows), strict=True))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("shape", ["BERT", "CLIP"])
def test_the_same_bits_alone_and_among_others_and_on_one_thread(shape: str, precision: str) -> None:
    model, rows = rounded(SHAPES[shape], precision), texts(5, 150, 1, 64, 65, 7)
    together = states(model, rows)
    assert all(torch.equal(states(model, [row])[0], y) for row, y in zip(rows, together, strict=True))
    torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(states(model, rows), together, strict=True))


@pytest.mark.parametrize("shape", ["BERT", "CLIP"])
@pytest.mark.parametrize("wanted", [[0, 70, 85], [69, 84, 85], [3, 80, 85], [0, 1, 2], []])
def test_wanted_rows_alone(shape: str, wanted: list[int]) -> None:
    model, rows, places = rounded(SHAPES[shape], "bf16"), texts(70, 15, 1), torch.tensor(wanted, dtype=torch.long)
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    whole, alone = (
        model(torch.cat(rows)[None], VarlenAttention.of([70, 15, 1]), positions=positions, wanted=asked)
        for asked in (None, places)
    )
    assert alone.shape == (1, len(wanted), 64) and torch.equal(whole[0, places], alone[0])
    model.fused = None
    apart = model(torch.cat(rows)[None], VarlenAttention.of([70, 15, 1]), positions=positions, wanted=places)
    assert not wanted or near(alone, apart)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_answers_behind_their_prefixes(precision: str) -> None:
    model, prefixes, of = rounded(BERT, precision), texts(9, 70), [1, 0, 1]
    answers = torch.randint(0, 50, (3, 4))

    def answered(rows: list[Tensor], of: list[int], answers: Tensor) -> Tensor:
        sizes = [len(row) for row in rows]
        cache = PrefixAttention(sizes)
        model(torch.cat(rows)[None], cache, positions=torch.cat([torch.arange(size) for size in sizes]))
        places = torch.tensor([sizes[row] for row in of])[:, None] + torch.arange(answers.shape[1])
        found = model(answers.reshape(1, -1), AnswerAttention(cache, of, answers.shape[1]), positions=places.flatten())
        return found.view(*answers.shape, -1)

    together = answered(prefixes, of, answers)
    for row, own, y in zip(of, answers, together, strict=True):
        assert torch.equal(answered([prefixes[row]], [0], own[None])[0], y)
    assert torch.equal(answered(prefixes, of, answers[:, :2]), together[:, :2])  # a later token changes no earlier one
    fused, model.fused = model.fused, None
    apart = answered(prefixes, of, answers)
    model.fused = fused
    assert near(together, apart)


def test_an_answer_is_read_also_where_blocks_run_one_by_one_behind_a_prefix_of_one_call() -> None:
    model, (row,), answer = rounded(BERT, "bf16"), texts(20), torch.tensor([[3, 4]])
    cache = PrefixAttention([20])
    model(row[None], cache, positions=torch.arange(20))
    together = model(answer, AnswerAttention(cache, [0], 2), positions=torch.tensor([20, 21]))
    model.fused = None
    assert near(model(answer, AnswerAttention(cache, [0], 2), positions=torch.tensor([20, 21])), together)


def test_a_nan_stays_in_its_sequence() -> None:
    model, rows = rounded(BERT, "bf16"), texts(30, 8)
    model.embed.words.weight[7], rows[0][3] = float("nan"), 7
    rows[1][rows[1] == 7] = 8
    ill, sound = states(model, rows)
    assert ill.isnan().all() and torch.equal(sound, states(model, rows[1:])[0])


def test_used_only_where_it_computes_the_same() -> None:
    model, (row,) = rounded(BERT, "bf16"), texts(9)
    calls, fused = [], model.fused

    def counted(*args: object) -> Tensor | None:
        calls.append(y := fused(*args))  # type: ignore[misc, arg-type]
        return y

    model.fused = counted  # type: ignore[assignment]
    model(row[None])
    model(row[None], torch.ones(9, 9, dtype=torch.bool).tril())  # a mask
    with torch.enable_grad():
        model(row[None])  # gradients
    handle = model.blocks[0].up.register_forward_hook(lambda *_: None)  # somebody listens
    model(row[None])
    handle.remove()
    model(row[None])
    assert [y is not None for y in calls] == [True, False, False, False, True]


@pytest.mark.parametrize(
    "other",
    [{"hidden_size": 96, "heads": 3}, {"heads": 4}, {"gated": True}, {"norm": "rms"}, {"positions": "rotary"}, {"window": 8}],
)
def test_other_shapes_run_block_by_block(other: dict[str, object]) -> None:
    assert fused_encoder.fits(BERT) and not fused_encoder.fits(replace(BERT, **other))  # type: ignore[arg-type]


def test_not_where_amx_multiplies_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    model = SimpleNamespace(fused=None, blocks=torch.nn.ModuleList())
    fused_encoder.install(model, BERT)
    assert model.fused is None
