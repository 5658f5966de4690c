"""embedded:smollm2, the real weights: the chat of a fresh installation. Skipped where it was not pulled."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mmgen.models.lm.text_model import TextModel

TEXTS = [
    "What is the capital of France?",
    "In 1998, 42 people  ate\n\n\tπ pies; it's (really) naïve — 日本語 🙂!",
    "def f(x):\n    return x ** 2  # squares",
]


@pytest.fixture(scope="module")
def loaded() -> dict[Path, TextModel]:
    return {}


@pytest.fixture
def model(smollm2: Path, loaded: dict[Path, TextModel]) -> TextModel:
    kept = smollm2.resolve()
    if kept not in loaded:
        loaded[kept] = TextModel.load(kept)
    return loaded[kept]


def test_it_knows_the_capital_of_france(model: TextModel) -> None:
    ids = model.encode_chat([{"role": "user", "content": TEXTS[0]}])
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < 8 and not (written and written[-1] in model.eos_ids):
            written.append(int(model.lm(torch.tensor([ids + written]))[0, -1].argmax()))
    assert model.tokenizer.decode(written).strip() == "The capital of France is Paris."
    assert written[-1] in model.eos_ids


def test_its_tokens(model: TextModel) -> None:
    """Digits stand alone; special tokens are whole."""
    for text in TEXTS:
        assert model.tokenizer.decode(model.encode(text)) == text
    pieces = [model.tokenizer.fast.id_to_token(number) for number in model.encode("in 1998")]
    assert pieces == ["in", "Ġ", "1", "9", "9", "8"]
    assert model.encode("<|im_start|>user") == [1, 4093]
    assert (model.bos_id, model.eos_ids, model.max_tokens) == (1, frozenset({0, 2}), 8192)


def test_it_is_the_default_of_chat(smollm2: Path, call: Any) -> None:
    told = call("chat", TEXTS[0], "--max-tokens", 8, "--temperature", 0)
    assert (told.code, told.err) == (0, "") and "Paris" in told.out
    assert "embedded:smollm2" in call("models").out


def test_without_it_there_is_one_line_of_remedy(call: Any) -> None:
    told = call("chat", TEXTS[0])
    assert (told.code, told.out) == (2, "")
    assert told.err == "error: embedded:smollm2 is not on this machine (98 MB); get it with `mmgen pull embedded:smollm2`\n"


def test_the_books_stand_in_for_text(call: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgen.pipelines.language import text_pipeline

    monkeypatch.setattr(text_pipeline, "_told", set())
    told = call("text", "Once upon a time", "--max-tokens", 3, "--seed", 1)
    assert told.code == 0 and told.out.strip()
    line = "embedded:smollm2 is not on this machine; get it with `mmgen pull embedded:smollm2`; embedded:books writes instead"
    assert [record.message for record in caplog.records] == [line]


@pytest.mark.slow
def test_it_equals_transformers(smollm2: Path, model: TextModel) -> None:
    """transformers' own reading of the file: logits, 64 greedy tokens, and tokens of texts without digits, which it joins."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"pretrained_model_name_or_path": smollm2.resolve().parent, "gguf_file": smollm2.name}
    theirs, upstream = AutoModelForCausalLM.from_pretrained(**place).eval(), AutoTokenizer.from_pretrained(**place)
    for text in (TEXTS[0], TEXTS[1].replace("1998", "may").replace("42", "some"), "<|im_start|>user\nHi<|im_end|>\n"):
        assert model.encode(text) == upstream(text)["input_ids"]
    ids = torch.tensor([model.encode_chat([{"role": "user", "content": TEXTS[0]}])])
    with torch.inference_mode():
        torch.testing.assert_close(model.lm(ids), theirs(ids).logits, atol=1e-3, rtol=0)
        expected = theirs.generate(ids, max_new_tokens=64, do_sample=False, eos_token_id=None)
        start = ids.shape[1]
        assert torch.equal(model.lm(expected)[0, start - 1 : -1].argmax(-1), expected[0, start:])
