import json
from pathlib import Path

import gradio
import pytest

from apps import formulas


@pytest.mark.parametrize(
    ("text", "formula", "display"),
    [
        ("Einstein: $E=mc^2$.", "E=mc^2", False),
        (r"so \(a_1 < b\) holds", "a_1 &lt; b", False),
        (r"\[x^2\]", "x^2", True),
        (r"see $$\frac{1}{2}$$, then", r"\frac{1}{2}", True),
        (r"$\$5 + x$ is dear", r"\$5 + x", False),
        ("$x$-axis", "x", False),
    ],
)
def test_formulas_are_found(text: str, formula: str, display: bool) -> None:
    shown = formulas.text_html(text)
    kind, signs = ("math display", [r"\[", r"\]"]) if display else ("math", [r"\(", r"\)"])
    assert f"<span class='{kind}'>{signs[0]}{formula}{signs[1]}</span>" in shown and shown.count("<") == 2


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $6",
        "$5-$6",
        "a $ b $ c",
        "US$5 or A$6",
        r"\$x$",
        "$",
        "$$",
        "$$$$",
        r"\(",
        r"\[ x",
        "$x\ny$",
        r"\\(x\\)",
        "$ 5$",
    ],
)
def test_what_is_none_stays_text(text: str) -> None:
    assert formulas.text_html(text) == text


def test_a_formula_of_several_lines() -> None:
    lines = ["$$", "a", "= b", "$$", "end"]
    assert formulas.block(lines, 0) == ("<span class='math display'>\\[a\n= b\\]</span>", 4)
    assert formulas.block([r"\[ a", r"b \].", "end"], 0) == ("<span class='math display'>\\[a\nb\\]</span>.", 2)
    for none in (
        ["$$", "a"],
        ["$$", "", "a", "$$"],
        ["$$"],
        ["$$ $$"],
        ["$$a$$ and more"],
        ["x" * 2500],
        ["$$", "x" * 2500, "$$"],
    ):
        assert formulas.block(none, 0) == ("", 0), "still growing, or no formula of its own lines"


def test_katex_comes_from_gradio() -> None:
    """apps/web.js imports its default, and its stylesheet names fonts that lie beside it."""
    told = formulas.head().removeprefix("<script>window.mmgenKatex = ").removesuffix(";</script>")
    script, style = (Path(gradio.__file__).parent / formulas.ASSETS.parent / one for one in json.loads(told))
    assert script.read_text().rstrip().endswith("as default};") and "url(http" not in style.read_text()
