"""Tokenizers: the same texts give the same file, and every text comes back."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_corpus
from typer.testing import CliRunner

from mmgen.cli.training.train import app
from mmgen.errors import BadRequest
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.training.recipes import tokenizer
from mmgen.training.recipes.tokenizer import END, UNKNOWN

STRANGE = "the fox\n\n  naïve 狐 🦊\t"


def test_bpe_gives_back_every_text(tmp_path: Path) -> None:
    tok = Tokenizer(tokenizer.save(tokenizer.train(tiny_corpus.documents(), vocabulary=300), tmp_path))
    assert tok.id(END) == 0 and tok.fast.get_vocab_size() == 300
    assert tok.decode(tok.encode(STRANGE).ids) == STRANGE
    assert len(tok.encode("the farmer follows").ids) < 12


def test_characters(tmp_path: Path) -> None:
    tok = Tokenizer(tokenizer.save(tokenizer.train(["ab\n", "ca"], "characters"), tmp_path))
    ids = tok.encode("cab\n?").ids
    assert tok.decode(ids[:-1]) == "cab\n" and ids[-1] == tok.id(UNKNOWN)
    assert tok.fast.get_vocab_size() == 6


def test_another_process_makes_the_same_file(tmp_path: Path) -> None:
    data = tiny_corpus.write(tmp_path / "data")
    called = CliRunner().invoke(app, ["tokenizer", str(data), str(tmp_path / "a"), "--vocabulary", "320"])
    assert called.exit_code == 0 and "320 tokens" in called.output
    arguments = ["tokenizer", str(data), str(tmp_path / "b"), "--vocabulary", "320"]
    subprocess.run([sys.executable, "-m", "mmgen", "train", *arguments], check=True, capture_output=True)
    assert (tmp_path / "a" / "tokenizer.json").read_bytes() == (tmp_path / "b" / "tokenizer.json").read_bytes()


def test_too_few_texts() -> None:
    with pytest.raises(BadRequest, match=r"the texts give \d+ tokens, not 8192"):
        tokenizer.train(["the fox"])
