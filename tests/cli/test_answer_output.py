"""Answers in a terminal: on one line each, with their places."""

from types import SimpleNamespace
from typing import Any

import pytest

from mmgen.cli import answer_output


class Cited(SimpleNamespace):
    """A citation by its text."""

    def __str__(self) -> str:
        return "a.md [0:5]"


def test_places_name_their_headings() -> None:
    found: Any = Cited(heading="A > B", copies=())
    assert answer_output.place(found) == "a.md [0:5], A > B"
    found.copies = ("/b/c.md", "/d.md", "/e.md")
    assert answer_output.place(found) == "a.md [0:5], A > B, also in c.md and 2 more"
    found.heading, found.copies = "", ()
    assert answer_output.place(found) == "a.md [0:5]"


def test_the_sentence_around_a_quote_is_one_line() -> None:
    passage = SimpleNamespace(text="First one. The lamp\nwas lit. Last one.", start=100)
    answer: Any = SimpleNamespace(passages=[SimpleNamespace(passage=passage, passage_id=7)])
    citation: Any = SimpleNamespace(passage_id=7, start=115, end=119)
    assert answer_output.context(answer, citation) == "The lamp was lit."


def test_images_say_why_they_were_found(capsys: pytest.CaptureFixture[str]) -> None:
    class Found(SimpleNamespace):
        def __str__(self) -> str:
            return "crown.png"

    answer: Any = SimpleNamespace(images=[Found(why="its caption")])
    answer_output.print_images(answer)
    assert capsys.readouterr().out == "  image 1: crown.png\n      by its caption\n"
