"""Ids and offsets as the `tokenizers` library gives them, from each form of a checkpoint's files."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Fast
from tokenizers import models, pre_tokenizers, processors

from mmgen.errors import BadWeights
from mmgen.models.lm.tokenizer import Tokenizer

WORDS = ["[UNK]", "[CLS]", "[SEP]", "the", "lamp", "was", "lit"]


def fast(*, ends: bool = True) -> Fast:
    """Whole words, with [CLS] and [SEP] around a text, cut and padded to three tokens."""
    made = Fast(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    made.enable_truncation(3)
    made.enable_padding(length=8)
    return made


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    fast().save(str(tmp_path / "tokenizer.json"))
    return Tokenizer.of(tmp_path)


def test_ids_stand_for_their_spans(tokenizer: Tokenizer) -> None:
    text = "the  lamp was\nlit"
    encoded = tokenizer.encode(text)
    assert encoded.ids == [3, 4, 5, 6], "neither cut nor padded, without special tokens"
    assert [text[start:end] for start, end in encoded.spans] == ["the", "lamp", "was", "lit"]
    assert tokenizer.encode_many([text, "", "x lamp"]) == [tokenizer.encode(one) for one in (text, "", "x lamp")]
    assert tokenizer.decode([3, 4]) == "the lamp"


def test_a_prompt_has_the_special_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.prompt("the lamp was lit") == [1, 3, 4, 5, 6, 2]
    assert tokenizer.ends() == (1, 2) and tokenizer.id("[SEP]") == 2


def test_what_is_not_there(tmp_path: Path) -> None:
    fast(ends=False).save(str(tmp_path / "tokenizer.json"))
    bare = Tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(BadWeights, match="puts 0 special tokens around a text, not 2; it is no encoder's"):
        bare.ends()
    with pytest.raises(BadWeights, match=r"has no token '\[MASK\]'; it is not this model's"):
        bare.id("[MASK]")


def test_older_files_become_the_same_tokenizer(tmp_path: Path) -> None:
    """vocab.json and merges.txt of GPT-2, read by transformers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: n for n, piece in enumerate([*alphabet, "th", "the", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    old = Tokenizer.of(tmp_path)
    encoded = old.encode("the thé")
    assert encoded.ids[0] == vocabulary["the"] and len(encoded.ids) == 5, "the; a space; th; two bytes of é"
    assert old.decode(encoded.ids) == "the thé"
    old.fast.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.of(tmp_path).encode("the thé") == encoded


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(
        BadWeights, match=r"has no tokenizer.json, and transformers makes none .*; save it with a fast tokenizer"
    ):
        Tokenizer.of(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(BadWeights, match=r"is no tokenizer.json .*; fetch the model again"):
        Tokenizer.of(tmp_path)
