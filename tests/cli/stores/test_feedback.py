"""Feedback as people give it, and too little to learn from."""

import json
from pathlib import Path

import pytest
from cli_call import Call

pytestmark = pytest.mark.usefixtures("tiny_home")


def test_given_listed_taken_back(call: Call, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("The lamp was lit in 1823.\n")
    assert call("rag", "add", tmp_path / "lamp.md").code == 0
    empty = call("rag", "feedback")
    assert empty.out.startswith("store ") and "has no feedback; give some: mmgen rag feedback QUESTION" in empty.out
    said = ("rag", "feedback", "When was it lit?", "--answer", "lamp", "--wrong")
    kept = call(*said, "--span", "1823", "--document", "lamp.md")
    assert (kept.code, kept.out) == (0, f"kept as number 1, at {tmp_path / 'lamp.md'} [20:24]\n")
    told = json.loads(call("rag", "feedback", "Who lit it?", "--right", "--json").out)
    assert (told["verdict"], told["span"], told["document"]) == ("right", "", "")
    lines = call("rag", "feedback").out.splitlines()
    assert lines[1].split()[:2] == ["1", "wrong"] and lines[2].split() == ["2", "right", "Who", "lit", "it?", "-", "none"]
    assert call("rag", "feedback", "--remove", "1", "--remove", "9").out == "removed 1 of feedback\n"
    for line, wrong in (
        (said[:-1], "is the answer right or wrong? say --right or --wrong"),
        ((*said, "--span", "x", "--unanswerable"), "--unanswerable and --span exclude each other"),
        ((*said, "--span", "1824"), "'1824' stands in none of 50 passages"),
        (("rag", "learn"), "it takes 16 and 8, give more"),
        (("rag", "learn", "--forget"), "has learned nothing"),
    ):
        failed = call(*line)
        assert failed.code == 2 and wrong in failed.err and len(failed.err.splitlines()) == 1
