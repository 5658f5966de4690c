"""Menus, banners, sidebars and footers go; what the page is about stays, whatever it is called."""

import pytest

from mmgen.ingest.html_main import drop_boilerplate
from mmgen.ingest.html_tree import parsed

PROSE = "".join(
    f"<p>The harbour light number {n} was lit in {1800 + n} and burned oil of rape until the gas came.</p>" for n in range(8)
)
LINKS = "".join(f'<li><a href="/{n}">Section {n}</a></li>' for n in range(8))


def left(body: str) -> str:
    root, _ = parsed(body.encode())
    whole = len(" ".join(root.itertext()).split())
    dropped = drop_boilerplate(root)
    assert (dropped > 0) == (len(" ".join(root.itertext()).split()) < whole), "what is dropped is counted"
    return " ".join(" ".join(root.itertext()).split())


@pytest.mark.parametrize(
    "part",
    [
        '<div id="cookie-banner">We use cookies. <a href="#">Accept all</a></div>',
        '<div class="topbar menu"><a href="/">Home</a> <a href="/a">Lights</a></div>',
        '<ul class="breadcrumb"><li><a href="/">Home</a></li><li>Lights</li></ul>',
        '<div role="navigation">Lights, ports</div>',
        '<div class="sidebar related"><h3>Others read</h3><a href="/k9">The buoys of 1904</a></div>',
        "<footer>Northern Lights Board, 4 Dock Street. Imprint.</footer>",
        f"<div><ul>{LINKS}</ul></div>",
    ],
)
def test_what_stands_on_every_page_goes(part: str) -> None:
    assert left(f"{part}<main><h1>Lights</h1>{PROSE}</main>") == left(f"<main><h1>Lights</h1>{PROSE}</main>")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            '<div class="menu"><h2>Our menu</h2><p>Cod with leek 14 euros</p><p>Eel in dill 16 euros</p></div>',
            "Eel in dill 16 euros",
        ),
        (f'<div class="sidebar">{PROSE * 5}</div>', "number 7"),
        (f'<div class="consent"><h1>Consent</h1>{PROSE}</div>', "Consent"),
        (f"<main><ul>{LINKS}</ul></main>", "Section 7"),
        ('<article><header><p class="byline">By Ada Ström, keeper of the Hirta light</p></header></article>', "Ada Ström"),
        ('<h3 class="code-header">fn lit(year: u16)</h3>', "fn lit(year: u16)"),
        ("<table><tr><td>Hirta</td><td>1823</td></tr></table>", "Hirta 1823"),
    ],
)
def test_content_stays_whatever_it_is_called(part: str, words: str) -> None:
    assert words in left(f"{part}{PROSE}")


def test_a_page_of_links_stays() -> None:
    assert "Section 7" in left(f"<ul>{LINKS}</ul>")


def test_pages_nested_deeply_are_not_given_to_trafilatura() -> None:
    deep = "<div>" * 300 + PROSE + "</div>" * 300
    assert "number 7" in left(f"{deep}<aside>By the way: Hirta.</aside>") and "Hirta" in left(
        f"{deep}<aside>By the way: Hirta.</aside>"
    )
