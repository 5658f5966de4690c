"""Calls the `mmgen` command in this process: the same door as the script's, without its start-up time."""

import io
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest


@dataclass
class Called:
    code: int
    out: str
    err: str


MMGEN = [sys.executable, "-c", "from mmgen.cli.main import main; main()"]
"""The same in a process of its own."""
Call = Callable[..., Called]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """`call("rag", "list", stdin=b"...")`; the log that a command set up, over this test's stderr, is put back."""

    from mmgen.cli.main import main

    def run(*args: object, stdin: bytes = b"") -> Called:
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as exit_:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert exit_.value.code is None or isinstance(exit_.value.code, int)
        return Called(exit_.value.code or 0, captured.out, captured.err)

    root, own = logging.getLogger(), logging.getLogger("mmgen")
    before = root.handlers[:], root.level, own.level
    yield run
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    own.setLevel(own_level)
