"""HTML as a reader would see it, however it is written."""

import time
from pathlib import Path

import pytest

from mmgen.ingest.html import html


def text_of(page: str | bytes) -> str:
    return html(Path("a.html"), page.encode() if isinstance(page, str) else page)[0]


def test_a_page() -> None:
    text, pages, metadata = html(
        Path("a.html"),
        b"<html><head><title>Tea &amp; more</title><style>p{}</style></head><body><nav>menu</nav><h2>Origin</h2>"
        b"<p>From <b>China</b>,\nthey say.</p><script>x()</script><!-- no --><ul><li>green</li><li>black</li></ul>"
        b"<pre>a\n  b\n\n\n c</pre></body></html>",
    )
    assert text == "# Tea & more\n\n## Origin\n\nFrom China, they say.\n\n- green\n- black\n\n```\na\n  b\n\n\n c\n```"
    assert (pages, metadata) == ((), {"title": "Tea & more"})


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<title>Tea - a site</title><h1>Tea</h1>x", "# Tea\n\nx"),
        ("<h2>H<sub>2</sub>O<br>and more</h2><h3></h3>x", "## H2O and more\n\nx"),
        ("x<br>y<br/>\nz", "x\ny\nz"),
        ("<ol><li>one<li><p>two</p></ol><ul><li></li></ul>", "1. one\n2. two\n\n-"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td></td></tr><tr><td><p>2</p></td><td>x</td></tr></table>",
            "A | B\n1 |\n2 | x",
        ),
        ("<dl><dt>T<dd>D</dl>", "T\nD"),
        ("<pre>x\n```\ny</pre>", "````\nx\n```\ny\n````"),
        ("<pre>a<pre>b</pre></pre><pre>c</pre>", "```\nab\n```\n\n```\nc\n```"),
        ("<p>a &#xD800; b &#0; c</p>", "a \ufffd b \ufffd c"),
        ('<?xml version="1.0"?><root><p>hi</p></root>', "hi"),
        ("http://example.org/", "http://example.org/"),
        ("<div>" * 5000 + "deep" + "</div>" * 5000, "deep"),
        ("<meta charset=iso-8859-1><p>caf\u00e9 \u65e5</p>", "caf\u00e9 \u65e5"),
        ("<meta charset=koi8-r><p>\u0422\u0435\u0441\u0442</p>".encode("koi8-r"), "\u0422\u0435\u0441\u0442"),
        ("", ""),
    ],
)
def test_all_kinds_of_html(page: str | bytes, text: str) -> None:
    assert text_of(page) == text


@pytest.mark.parametrize(
    "part", ["x<br>", "<script>x</script>", "<ul><li>", "<td>x", "<pre>", "<select><option>x", "<h1>x<h2>"]
)
def test_thousands_of_tags_take_seconds(part: str) -> None:
    began = time.process_time()
    text_of(part * 3_000)
    assert time.process_time() - began < 5


def test_what_is_hidden_or_struck_is_not_on_the_page() -> None:
    page = (
        "<p>Price: <del>89 euros</del> <ins>64 euros</ins>, <s>12</s> <i style='text-decoration: line-through'>13</i> left."
        "<div style='color:red; display : none'>sold out</div><p hidden>Draft: 9 kg.<p style='visibility:hidden'>gone"
        "<dialog>Log in</dialog><input type=hidden value=token><p hidden=until-found>Found."
    )
    assert text_of(page) == "Price: 64 euros, left.\n\nFound."


def test_a_page_of_a_shop() -> None:
    page = (
        "<title>Kettle K5 | Shop</title><div id=cookie-banner role=dialog>Cookies? <a href=#>Yes</a></div>"
        "<ul class=breadcrumb><li><a href=/>Home</a><li>K5</ul><main><h1>Kettle K5</h1>"
        "<p>Boiling takes the count from 10<sup>7</sup> to 10<sup>2</sup>; H<sub>2</sub>O alone<sup><a href=#n>3</a></sup>.</p>"
        "<table><tr><th>Part<th>Years<tr><td rowspan=2>Lid<td>5 (home)<tr><td>2 (hotel)</table></main>"
        "<footer>Imprint, 4 Dock Street</footer>"
    )
    text, _, metadata = html(Path("a.html"), page.encode())
    assert text == (
        "# Kettle K5\n\nBoiling takes the count from 10^7 to 10^2; H2O alone[3].\n\n"
        "Part | Years\nLid | 5 (home)\nLid | 2 (hotel)"
    )
    assert metadata == {"title": "Kettle K5 | Shop", "boilerplate": len("Cookies?YesHomeK5Imprint, 4 Dock Street")}
