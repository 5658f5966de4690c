"""Analogies from the command line: a tiny encoder, a list of its own, vectors kept."""

import json
from pathlib import Path

from cli_call import Call

from mmgen.config import assets_dir


def test_analogy(call: Call, tiny_home: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("queen\nking\nwoman\nboat\n")
    arguments = ("embed", "analogy", "king", "-", "man", "+", "woman", "--among", tmp_path / "words.txt", "-k", "3")
    called = call(*arguments)
    assert called.code == 0 and "encoding 4 words once" in called.err
    assert {line.split()[1] for line in called.out.splitlines()[1:]} == {"queen", "boat"}
    again = call(*arguments, "--json")
    assert again.err == "" and [near["word"] for near in json.loads(again.out)] == [
        line.split()[1] for line in called.out.splitlines()[1:]
    ]


def test_mistakes(call: Call, tiny_home: Path, tmp_path: Path) -> None:
    called = call("embed", "analogy", "king", "man")
    assert called.code == 2 and 'no + or - before "man"' in called.err
    called = call("embed", "analogy", "king", "--among", tmp_path / "none.txt")
    assert called.code == 2 and "cannot be read" in called.err


def test_the_list_that_comes_along() -> None:
    words = (assets_dir() / "words" / "english.txt").read_text().split()
    assert len(words) == len(set(words)) == 10_000 and {"king", "queen", "man", "woman", "paper", "yellow"} <= set(words)
