"""Markdown of a model's text as HTML: headings, lists, code, formulas, bold, italics. No links, images or HTML of its own.

A text may come from a document or a web page. An image or a link in it would carry what its address says to another server.
"""

from __future__ import annotations

import re
from html import escape

from .. import formulas
from . import code_html

FENCE = re.compile(r"^\s*```\s*([\w+#-]*)")
ITEM = re.compile(r"^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$")
HEADING = re.compile(r"^(#{1,6})\s+(.*)$")
CODE = re.compile(r"`([^`\n]+)`")
STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
EMPHASIS = re.compile(r"(?<![*\w])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![*\w])")
HOLE = "\x00"  # where a formula stands
LONGEST = 200_000  # characters that are shown


def html(text: str) -> str:
    """Whatever it holds, all of it is text of the page."""
    out: list[str] = []
    lines, place = text[:LONGEST].split("\n"), 0
    while place < len(lines):
        line = lines[place]
        if fence := FENCE.match(line):
            end = next((n for n in range(place + 1, len(lines)) if FENCE.match(lines[n])), len(lines))
            out.append(f"<pre><code>{code_html.html(chr(10).join(lines[place + 1 : end]), fence[1])}</code></pre>")
            place = end + 1
        elif (drawn := formulas.block(lines, place))[0]:
            out.append(f"<p>{drawn[0]}</p>")
            place = drawn[1]
        elif heading := HEADING.match(line):
            out.append(f"<h4>{inline(heading[2])}</h4>")
            place += 1
        elif ITEM.match(line):
            end = next((n for n in range(place, len(lines)) if not ITEM.match(lines[n])), len(lines))
            out.append(_list(lines[place:end]))
            place = end
        elif line.strip():
            end = next((n for n in range(place + 1, len(lines)) if _starts(lines, n)), len(lines))
            out.append(f"<p>{'<br>'.join(map(inline, lines[place:end]))}</p>")
            place = end
        else:
            place += 1
    return "".join(out)


def inline(text: str) -> str:
    """Code, formulas, bold and italics within a line."""
    parts = CODE.split(text)
    return "".join(f"<code>{escape(part)}</code>" if n % 2 else _words(part) for n, part in enumerate(parts))


def _words(text: str) -> str:
    """Bold and italics may stand around a formula, and never in it."""
    parts = formulas.split(text.replace(HOLE, ""))
    accented = _accents("".join(HOLE if drawn else escape(part) for part, drawn in parts)).split(HOLE)
    drawn = [*(part for part, is_drawn in parts if is_drawn), ""]
    return "".join(f"{before}{formula}" for before, formula in zip(accented, drawn, strict=True))


def _accents(escaped: str) -> str:
    return EMPHASIS.sub(r"<em>\1</em>", STRONG.sub(r"<strong>\1</strong>", escaped))


def _starts(lines: list[str], place: int) -> bool:
    """Whether a paragraph ends before that line."""
    line = lines[place]
    return not line.strip() or any(one.match(line) for one in (FENCE, HEADING, ITEM)) or bool(formulas.block(lines, place)[0])


def _list(lines: list[str]) -> str:
    items = [found for line in lines if (found := ITEM.match(line))]
    kind = "ol" if items[0][1] else "ul"
    start = f" start='{int(items[0][1][:6])}'" if items[0][1] and items[0][1] != "1" else ""
    return f"<{kind}{start}>{''.join(f'<li>{inline(one[2])}</li>' for one in items)}</{kind}>"
