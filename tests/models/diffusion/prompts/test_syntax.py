"""Marks of a prompt as A1111 reads them, and one clear line for those that are not."""

import time

import pytest

from mmgen.errors import BadRequest
from mmgen.models.diffusion.prompts import syntax
from mmgen.models.diffusion.prompts.syntax import NamedLora


def read(prompt: str) -> list[tuple[str, float, int]]:
    return [(one.text, round(one.weight, 4), one.window) for one in syntax.parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("normal text", [("normal text", 1.0, 0)]),
        ("an (important) word", [("an ", 1.0, 0), ("important", 1.1, 0), (" word", 1.0, 0)]),
        ("(unbalanced", [("unbalanced", 1.1, 0)]),
        (r"\(literal\]", [("(literal]", 1.0, 0)]),
        ("(unnecessary)(parens)", [("unnecessary", 1.1, 0), ("parens", 1.1, 0)]),
        ("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", [
            ("a ", 1.0, 0), ("house", 1.573, 0), (" ", 1.1, 0), ("on", 1.0, 0), (" a ", 1.1, 0), ("hill", 0.55, 0),
            (", sun, ", 1.1, 0), ("sky", 1.4641, 0), (".", 1.1, 0),
        ]),  # the example of A1111's own documentation
        ("one BREAK two, break", [("one ", 1.0, 0), (" two, break", 1.0, 1)]),
        ("(one BREAK two:2)", [("one ", 2.0, 0), (" two", 2.0, 1)]),
        ("at 16:9) or :) (b)", [("at 16:9) or :) ", 1.0, 0), ("b", 1.1, 0)]),
        ("BREAKFAST, C:\\dir", [("BREAKFAST, C:\\dir", 1.0, 0)]),
        ("(a: -0.5 )", [("a", -0.5, 0)]),
        ("", []),
    ],
)  # fmt: skip
def test_marks(prompt: str, expected: list[tuple[str, float, int]]) -> None:
    assert read(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("(cat:nan)", "'nan' in .* is no number; write one such as 1.2"),
        ("(cat:1.2.3)", "'1.2.3' in .* is no number"),
        ("(cat:1000)", "'cat' gets weight 1e[+]03; use -20 to 20"),
        ("(" * 5000, "nested more than 32 deep at character 32; close them"),
        ("[cat:dog:0.5]", r"\[cat:dog:0.5\] would change the prompt between steps"),
        ("a [cat:10] b", "would change the prompt between steps"),
        ("a [red|blue] cat", "would change the prompt between steps"),
    ],
)
def test_what_cannot_be_read(prompt: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        syntax.parse(prompt)


def test_any_5000_characters_take_no_time() -> None:
    started = time.process_time()
    for piece in ("(a:1.1)", "[a:", "a:", "[|", "\\(", "(a", "BREAK ", "<lora:a:", "B"):
        try:
            syntax.loras(piece * (5000 // len(piece)))
            syntax.parse(piece * (5000 // len(piece)))
        except BadRequest:
            pass
    assert time.process_time() - started < 2


def test_loras() -> None:
    assert syntax.loras("a cat <lora:oil:0.7> by <lyco:anna> night") == (
        "a cat by night", [NamedLora("oil", 0.7), NamedLora("anna", 1.0)],
    )  # fmt: skip
    assert syntax.loras("a <cat-toy>  here") == ("a <cat-toy>  here", [])
    for prompt, told in (("<hypernet:x:1>", "hypernetworks"), ("<lora:x:1:0.5>", "one scale"), ("<lora:x:y>", "'y' in")):
        with pytest.raises(BadRequest, match=told):
            syntax.loras(prompt)


def test_words_alone() -> None:
    assert syntax.plain("a (red:1.3) [cat] BREAK in \\(snow\\)") == "a red cat in (snow)"
    assert [syntax.weighted(one) for one in ("a cat (sitting)", "((a)) [b]", "(a:1.3)", "a BREAK b")] == [
        False,
        False,
        True,
        True,
    ]
