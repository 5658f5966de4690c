"""A tiny random reader: kept prefixes, branches and search agree with the plain pass over whole rows."""

import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import TransformerConfig
from mmgen.models.quantization import int8
from mmgen.models.reader.model import ReaderModel
from mmgen.models.reader.network import ReaderNetwork

PASSAGES = [
    "The first Fresnel lens was lit at Cordouan in July 1823.",
    "Tea came to Japan with monks.",
    "Unbelievably, antidisestablishmentarianism is a word of many pieces.",
]


@pytest.fixture(scope="module")
def model() -> ReaderModel:
    torch.manual_seed(3)
    shape = TransformerConfig(
        vocab_size=30522, hidden_size=32, layers=2, heads=4, intermediate_size=64, max_tokens=128, token_types=3
    )
    reader = ReaderNetwork(shape)
    for parameter in reader.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    settings = {"base": "embedded:minilm", "longest_answer": 4, "transformer": shape.__dict__}
    return ReaderModel(reader, Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json"), settings, "tiny")


@torch.inference_mode()
def by_hand(model: ReaderModel, question: str, passage: str) -> dict[tuple[int, int], float]:
    """Every span's log-probability, each from a whole pass of its own, by the formula of the module's docstring."""
    rows, offsets = model.pack(pair := model.pairs(question, [passage]))
    ids, out = pair[0].passage.ids, {}
    for first, last in itertools.combinations_with_replacement(range(len(ids)), 2):
        if last - first >= model.longest_answer or model.continues[ids[first]]:
            continue
        answer = torch.tensor([[model.cls, *ids[first : last + 1]]])
        prefix, states = model.reader.joint(rows, answer)
        starts = model.reader.start(rows, prefix, states[:, 0])
        places = torch.arange(first, last + 1) + offsets[0]
        logits = model.reader.stops(prefix[0, places], states[0, 1:])
        within = [place + 1 < len(ids) and bool(model.continues[ids[place + 1]]) for place in range(first, last + 1)]
        if within[-1]:
            continue
        logits[torch.tensor(within)] = float("-inf")
        if last + 1 == len(ids):
            logits[-1] = float("inf")
        price = F.logsigmoid(-logits[:-1]).sum() + F.logsigmoid(logits[-1])
        out[first, last] = float(starts[0, first + offsets[0]] + price)
    return out


@pytest.mark.parametrize("passage", PASSAGES)
def test_search_finds_the_best_of_all_spans(model: ReaderModel, passage: str) -> None:
    expected = sorted(by_hand(model, "when was it lit?", passage).items(), key=lambda item: -item[1])[:3]
    found = model.read(model.pairs("when was it lit?", [passage]), most=3)[0]
    chars = model.tokenizer.encode(passage).spans
    assert [(f.start, f.end) for f in found] == [(chars[a][0], chars[b][1]) for (a, b), _ in expected]
    assert [f.log_probability for f in found] == pytest.approx([price for _, price in expected], abs=1e-3)


@pytest.mark.parametrize("passage", PASSAGES)
def test_one_span_is_found_without_reading_all_lengths(
    model: ReaderModel, passage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = max(by_hand(model, "when was it lit?", passage).items(), key=lambda item: item[1])
    monkeypatch.setattr("mmgen.models.reader.model.FIRST_LENGTHS", 2)
    (found,) = model.read(model.pairs("when was it lit?", [passage]))[0]
    chars = model.tokenizer.encode(passage).spans
    assert (found.start, found.end) == (chars[expected[0]][0], chars[expected[1]][1])


def test_a_verifier_judges_the_span_that_was_read(model: ReaderModel) -> None:
    torch.manual_seed(5)
    reader = ReaderNetwork(model.reader.transformer.config, verifier=True)
    judged = ReaderModel(reader, model.tokenizer, model.settings, "judged")
    (pair,) = judged.pairs("when was it lit?", PASSAGES[:1])
    (found,) = judged.read([pair])[0]
    rows, offsets = judged.pack([pair])
    first, last = (next(n for n, span in enumerate(pair.passage.spans) if span[side] == place) for side, place in
                   ((0, found.start), (1, found.end)))  # fmt: skip
    with torch.inference_mode():
        prefix, states = reader.joint(rows, torch.tensor([[judged.cls, *pair.passage.ids[first : last + 1]]]))
        logit = reader.verified(prefix[0, offsets[0] + last], states[0, -1], states[0, 0])
    assert found.verified == pytest.approx(float(logit), abs=1e-4) and found.verified != 0.0


def test_batch_equals_alone(model: ReaderModel) -> None:
    pairs = model.pairs("who?", PASSAGES) + model.pairs("which word has many pieces?", PASSAGES)
    together = model.read(pairs, most=2)
    assert together == [model.read([pair], most=2)[0] for pair in pairs]  # to the bit


def test_spans_and_no_answer_are_one_distribution(model: ReaderModel) -> None:
    """With spans of any length, all spans and "no answer" share a probability of one, but for what is cut by the limit."""
    model.longest_answer, kept = 40, model.longest_answer
    try:
        spans = by_hand(model, "when?", PASSAGES[1])
        no_answer = model.read(model.pairs("when?", [PASSAGES[1]]))[0][0].no_answer
    finally:
        model.longest_answer = kept
    assert sum(torch.tensor(list(spans.values())).exp()) + torch.tensor(no_answer).exp() == pytest.approx(1, abs=1e-3)


def test_answers_are_whole_words(model: ReaderModel) -> None:
    text = PASSAGES[2]
    for found in model.read(model.pairs("what?", [text]), most=5)[0]:
        for cut in (found.start, found.end):
            assert not (text[cut - 1 : cut].isalnum() and text[cut : cut + 1].isalnum()), text[found.start : found.end]


def test_long_question(model: ReaderModel) -> None:
    with pytest.raises(BadRequest, match="question is 80 tokens, tiny reads 64"):
        model.pairs("why " * 80, PASSAGES)


def test_empty_passage_has_no_answer(model: ReaderModel) -> None:
    assert model.read(model.pairs("why?", ["", PASSAGES[0]]))[0] == []


def test_long_passage_is_cut(model: ReaderModel) -> None:
    pair = model.pairs("why?", ["lamp " * 500])[0]
    assert len(pair) + model.longest_answer <= model.max_tokens
    assert model.read([pair])[0]


def test_save_and_load(model: ReaderModel, tmp_path: Path) -> None:
    words = hub.resolve("embedded:minilm")
    wide = TransformerConfig(
        vocab_size=30522, hidden_size=384, layers=1, heads=4, intermediate_size=64, max_tokens=64, token_types=3
    )
    torch.manual_seed(0)
    settings = {"base": "embedded:minilm", "transformer": wide.__dict__}
    ReaderModel(ReaderNetwork(wide), Tokenizer(words / "tokenizer.json"), settings).save(tmp_path)
    loaded = ReaderModel.load(tmp_path)
    from mmgen.models.checkpoints.safetensors_io import read

    assert "transformer.embed.words.weight" not in read(tmp_path / "model.safetensors")
    base = read(words / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(loaded.reader.transformer.embed.words.weight, base)
    (plain,) = loaded.read(loaded.pairs("who?", PASSAGES))[0]
    (tmp_path / "config.json").write_text(json.dumps({**settings, "activations": "int8"}))
    rounded = ReaderModel.load(tmp_path)
    (near,) = rounded.read(rounded.pairs("who?", PASSAGES))[0]
    assert near.no_answer == pytest.approx(plain.no_answer, abs=0.1) and (near.no_answer == plain.no_answer) == (
        int8.MOST < 127
    )
    exact = ReaderModel.load(tmp_path, precision="fp32")
    assert exact.read(exact.pairs("who?", PASSAGES))[0] == [plain]


def test_damaged_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"transformer": {}}))
    with pytest.raises(BadWeights, match="no reader's configuration"):
        ReaderModel.load(tmp_path)
