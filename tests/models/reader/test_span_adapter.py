"""An adapter's rows are the same bits alone and in any batch, and leave the rows of others as they were."""

import pytest
import torch

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import TransformerConfig
from mmgen.models.reader.model import AnswerRow, QuestionPassage, ReaderModel
from mmgen.models.reader.network import ReaderNetwork
from mmgen.models.reader.span_adapter import SpanAdapter, loaded

PASSAGES = ["The first lens was lit at Cordouan in July 1823.", "Tea came to Japan with monks.", "It is a word of many pieces."]


@pytest.fixture(scope="module")
def model() -> ReaderModel:
    torch.manual_seed(3)
    shape = TransformerConfig(
        vocab_size=30522, hidden_size=32, layers=1, heads=4, intermediate_size=64, max_tokens=128, token_types=3
    )
    reader = ReaderNetwork(shape)
    for parameter in reader.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    settings = {"base": "embedded:minilm", "longest_answer": 4, "transformer": shape.__dict__}
    return ReaderModel(reader, Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json"), settings, "tiny")


def learned(seed: int) -> SpanAdapter:
    torch.manual_seed(seed)
    made = SpanAdapter(32, 4)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made.requires_grad_(False)


def with_adapter(pairs: list[QuestionPassage], adapter: SpanAdapter | None) -> list[QuestionPassage]:
    return [QuestionPassage(pair.question, pair.passage, adapter) for pair in pairs]


def test_rows_of_several_stores_share_a_pass(model: ReaderModel) -> None:
    pairs, first, second = model.pairs("When was it lit?", PASSAGES), learned(1), learned(2)
    kinds = [with_adapter(pairs, one) for one in (None, first, second)]
    alone = [[model.read([pair])[0] for pair in some] for some in kinds]
    mixed = [kinds[n % 3][n // 3] for n in range(9)]
    assert model.read(mixed) == [alone[n % 3][n // 3] for n in range(9)]
    assert model.read(mixed[::-1], 3) == [model.read([pair], 3)[0] for pair in mixed[::-1]]
    assert alone[0] != alone[1] != alone[2] != alone[0]


def test_a_new_one_and_a_strength_of_none_change_nothing(model: ReaderModel) -> None:
    pairs = model.pairs("When was it lit?", PASSAGES)
    base = model.read(pairs)
    for one in (SpanAdapter(32, 4).requires_grad_(False), learned(1).scaled(0.0)):
        for found, before in zip(model.read(with_adapter(pairs, one)), base, strict=True):
            assert [(span.start, span.end) for span in found] == [(span.start, span.end) for span in before]
            assert [one.log_probability for one in found] == pytest.approx([one.log_probability for one in before], abs=1e-6)


@torch.no_grad()
def test_the_product_with_a_key_is_that_with_its_sum(model: ReaderModel) -> None:
    """The heads multiply by low ranks; by hand, with whole matrices."""
    adapter, heads = learned(1), model.reader
    [(prefix, states)] = model.states([AnswerRow(model.pairs("When?", PASSAGES[:1])[0])])
    key = heads.key.weight + adapter.key_up @ adapter.key_down
    query = heads.query.weight + adapter.query_up @ adapter.query_down
    asked = states[0] @ query.T + heads.query.bias
    wanted = (prefix @ key.T + heads.key.bias) @ asked / 32**0.5 + heads.place(prefix)[:, 0] + prefix @ adapter.place_row[0]
    everywhere, length = torch.ones(1, len(prefix), dtype=torch.bool), torch.tensor([len(prefix)])
    found = heads.start_log_probs(length, everywhere, prefix[None], states[:1], [adapter])[0]
    torch.testing.assert_close(found, wanted.log_softmax(0), rtol=1e-4, atol=1e-4)


def test_as_bytes() -> None:
    made = learned(1)
    again = loaded(made.data(), 32)
    assert all(torch.equal(one, again.state_dict()[name]) for name, one in made.state_dict().items())
    assert loaded(made.data(), 32) is again and len(made.data()) < 8_000
    with torch.no_grad():
        made.end_bias.fill_(float("nan"))
    for wrong, width in ((b"\x80\x04.", 32), (again.data()[:-4], 32), (again.data(), 16), (made.data(), 32)):
        with pytest.raises(BadWeights, match=r"cannot be used .*; train it anew: mmgen rag learn"):
            loaded(wrong, width)
