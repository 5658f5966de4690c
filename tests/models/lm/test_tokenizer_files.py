"""Checkpoints without tokenizer.json: the ids of sentencepiece, tiktoken and Mistral's own files."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tiktoken
from transformers import AutoTokenizer

from mmgen.errors import BadWeights
from mmgen.models.lm.tokenizer import Tokenizer

TEXTS = ["the quick brown fox", "a cat  sat\n on the mat", "wörld 🙂 12345", "  the lead", "the", ""]
WORDS = ["the quick brown fox jumps over the lazy dog", "a cat sat on the mat", "hello world, how are you", "1234 5678 90"]
PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" t", b"at", b" the", b"qu"]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]


def pieces(kind: str = "bpe", **more: Any) -> bytes:
    """A model of sentencepiece's, as Llama's are made."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 20), model_writer=out, vocab_size=330, model_type=kind, byte_fallback=True,
        character_coverage=1.0, hard_vocab_limit=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2, **more,
    )  # fmt: skip
    return out.getvalue()


def configured(folder: Path, kind: str = "llama", **values: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    if values:
        (folder / "tokenizer_config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.model.v3"])
def test_sentencepiece_alone(tmp_path: Path, name: str) -> None:
    model = pieces(control_symbols=["[INST]", "[/INST]"])
    (tmp_path / name).write_bytes(model)
    ours, theirs = Tokenizer.of(configured(tmp_path)), sentencepiece.SentencePieceProcessor(model_proto=model)
    for text in filter(None, TEXTS):
        assert ours.encode(text).ids == theirs.encode(text), text
        assert ours.prompt(text) == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ours.encode(text).ids) == text
    assert ours.id("[INST]") == theirs.piece_to_id("[INST]")


def test_sentencepiece_with_its_configuration(tmp_path: Path) -> None:
    """As transformers reads it."""
    (tmp_path / "tokenizer.model").write_bytes(pieces())
    configured(tmp_path, tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False)
    ours, theirs = Tokenizer.of(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert ours.prompt(text) == theirs(text).input_ids, text
    assert ours.prompt("the")[0] == theirs.bos_token_id


def test_unigrams_of_t5(tmp_path: Path) -> None:
    model = pieces("unigram")
    (tmp_path / "spiece.model").write_bytes(model)
    ours = Tokenizer.of(configured(tmp_path, "t5", tokenizer_class="T5Tokenizer"))
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert ours.prompt("the quick brown fox") == [*theirs.encode("the quick brown fox"), theirs.eos_id()]


def ranks() -> dict[bytes, int]:
    return {one: n for n, one in enumerate(BYTES)}


def test_tiktoken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (f"{base64.b64encode(one).decode()} {n}\n" for one, n in ranks().items())
    (tmp_path / "tokenizer.model").write_text("".join(lines))
    added = {"262": {"content": "<|end|>", "special": True}}
    ours = Tokenizer.of(configured(tmp_path, tokenizer_class="PreTrainedTokenizerFast", added_tokens_decoder=added))
    theirs = tiktoken.Encoding("x", pat_str=PATTERN, mergeable_ranks=ranks(), special_tokens={"<|end|>": 262})
    for text in ("the quick", "wörld 🙂", "at the"):
        assert ours.encode(text).ids == theirs.encode(text), text
    assert ours.encode("the<|end|>").ids == [257, 262] and not caplog.records


def test_tekken(tmp_path: Path) -> None:
    vocabulary = [{"rank": n, "token_bytes": base64.b64encode(one).decode(), "token_str": None} for n, one in enumerate(BYTES)]
    special = [{"rank": n, "token_str": one, "is_control": True} for n, one in enumerate(SPECIAL)]
    about = {"pattern": PATTERN, "default_vocab_size": len(BYTES) + 10, "default_num_special_tokens": 10, "version": "v3"}
    (tmp_path / "tekken.json").write_text(json.dumps({"config": about, "vocab": vocabulary, "special_tokens": special}))
    ours = Tokenizer.of(tmp_path)
    theirs = tiktoken.Encoding("x", pat_str=PATTERN, mergeable_ranks=ranks(), special_tokens={})
    for text in TEXTS:
        assert ours.prompt(text) == [1, *(10 + one for one in theirs.encode(text))], text
        assert ours.decode(ours.prompt(text)) == text
    assert ours.encode("[INST] the").ids[0] == 3


def test_a_file_of_no_kind(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\x00\x01nothing")
    with pytest.raises(BadWeights, match=r"has no tokenizer\.json, and transformers makes none of its files"):
        Tokenizer.of(configured(tmp_path))
