"""`mmgen quantize`: a smaller folder that loads, and what cannot be rounded."""

from pathlib import Path

import tiny_lm
from cli_call import Call

from mmgen.models.lm.language_model import TextModel


def test_quantize(call: Call, tmp_path: Path) -> None:
    folder = tiny_lm.make(tmp_path / "lm")
    called = call("quantize", folder, "--to", "int4", "-o", tmp_path / "small")
    assert called.code == 0 and "MB of weights instead of" in called.out
    assert type(TextModel.load(tmp_path / "small").lm.transformer.blocks[0].up).__name__ == "Int4Linear"


def test_mistakes(call: Call, tmp_path: Path) -> None:
    called = call("quantize", tmp_path / "none", "-o", tmp_path / "small")
    assert called.code == 2 and "error: " in called.err and not (tmp_path / "small").exists()
    called = call("quantize", tmp_path, "--to", "int3", "-o", tmp_path / "small")
    assert called.code == 2 and "int3" in called.err
