"""Formulas in an answer's text: found here between TeX's delimiters, drawn in the browser by Gradio's own copy of KaTeX.

What is drawn is a formula alone: KaTeX follows no link and loads no image unless it is trusted, and it is not. Without
scripts, or where Gradio keeps KaTeX elsewhere, the formula stays as it was written.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

LONGEST = 2_000  # characters of a formula that is drawn
BODY = rf"(?:\\[^()\[\]\n]|[^$\\\n]){{1,{LONGEST}}}?"
INLINE = re.compile(
    rf"(?<!\\)\\\((?P<round>(?:(?!\\[()]).){{1,{LONGEST}}})\\\)"
    rf"|(?<!\\)\\\[(?P<square>(?:(?!\\[\[\]]).){{1,{LONGEST}}})\\\]"
    rf"|(?<![\\$\w])\$\$(?P<twice>{BODY})\$\$(?!\$)"
    rf"|(?<![\\$\w])\$(?P<once>(?=[^\s$])(?:\\.|[^$\\\n]){{1,{LONGEST}}}?(?<=[^\s\\]))\$(?![\d$])"
)
"""Within a line. A dollar is a delimiter as in Pandoc: what it opens begins and ends with no space, and no digit follows, so
that "$5 and $6" are prices."""
OPENING = re.compile(r"^\s*(?:(\$\$)|\\\[)")
CLOSING = {True: "$$", False: "\\]"}
ASSETS = Path("templates") / "frontend" / "assets"


def html(formula: str, display: bool) -> str:
    """What apps/web.js draws; until then, and for who copies it, what was written."""
    opening, closing = ("\\[", "\\]") if display else ("\\(", "\\)")
    kind = " display" if display else ""
    return f"<span class='math{kind}'>{escape(f'{opening}{formula}{closing}')}</span>"


def split(text: str) -> list[tuple[str, bool]]:
    """A line's parts, in order: text as it stands, and the HTML of formulas (True)."""
    parts, end = list[tuple[str, bool]](), 0
    for found in INLINE.finditer(text):
        parts.append((text[end : found.start()], False))
        formula = next(one for one in found.groups() if one is not None)
        parts.append((html(formula.strip(), found.lastgroup in ("square", "twice")), True))
        end = found.end()
    return [*parts, (text[end:], False)]


def text_html(text: str) -> str:
    """Plain text, escaped, with its formulas."""
    return "".join(part if drawn else escape(part) for part, drawn in split(text))


def block(lines: list[str], place: int) -> tuple[str, int]:
    """A formula that begins a line and ends one, with lines between -> its HTML and the place after it; "" for none there."""
    opened = OPENING.match(lines[place])
    if not opened:
        return "", place
    closing, size = CLOSING[bool(opened[1])], 0
    for end in range(place, len(lines)):
        line = lines[end][opened.end() :] if end == place else lines[end]
        size += len(line) + 1
        if size > LONGEST or (end > place and not line.strip()):
            break
        before, closed, after = line.partition(closing)
        if closed and after.strip(" .,;"):
            break
        if closed:
            body = "\n".join([*lines[place:end], before] if end > place else [before])
            body = body[opened.end() :] if end > place else body
            return (html(body.strip(), True) + escape(after.strip()), end + 1) if body.strip() else ("", place)
    return "", place


def head() -> str:
    """Tells apps/web.js where Gradio keeps KaTeX; its addresses hold hashes of the release."""
    import gradio

    folder = Path(gradio.__file__).parent / ASSETS
    files = [next((f"assets/{path.name}" for path in folder.glob(f"katex-*.{kind}")), "") for kind in ("js", "css")]
    return f"<script>window.mmgenKatex = {json.dumps(files)};</script>" if all(files) else ""
