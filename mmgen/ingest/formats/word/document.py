"""Word documents as text: all that the pages show, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats import drawings
from mmgen.ingest.formats.office_names import attribute, child, children, is_on
from mmgen.ingest.formats.package import Package
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder
from mmgen.ingest.formats.word.context import WordContext
from mmgen.ingest.formats.word.notes import NOTES, WordNotes
from mmgen.ingest.formats.word.numbering import WordNumbering
from mmgen.ingest.formats.word.styles import WordStyles
from mmgen.ingest.formats.word.text import WordText

if TYPE_CHECKING:
    from lxml.etree import _Element


def docx(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """Headers, then paragraphs, tables, text boxes and notes in order, then footers.

    Headings become markdown's; list numbers stand as shown; fields show their result; equations are one line; tracked
    changes count as accepted; hidden text is left out. A note follows the paragraph that refers to it.

    Args:
        path: of the file.
        data: its bytes.
        comments: whether comments are read too; else they are told.

    Raises:
        Unreadable: encrypted, damaged, of another format, or a bomb.
    """
    package = Package(data, "docx")
    builder = TextBuilder(len(data))
    main = package.related("", "officeDocument") or "word/document.xml"
    context = WordContext(builder, WordNotes(builder, comments))
    context.drawing = lambda part, node: drawings.texts(package, part, node, builder)
    _prepare(package, main, context)
    body = WordText(package, main, context, builder.add)
    headers: list[str] = []
    try:
        try:
            body.read()
        except Unreadable as why:
            if not builder.blocks:
                raise
            builder.damaged("the text from there on", why)
        headers = _margins(package, main, context, body.sections, "header")
        builder.add(*_margins(package, main, context, body.sections, "footer"))
    except OutputFull:
        pass
    if context.numbering.unknown:
        builder.miss(f"list numbers of the kinds {', '.join(sorted(context.numbering.unknown))}, which are shown as digits")
    title = package.title()
    return builder.result({"title": title} if title else {}, headers)


def _prepare(package: Package, main: str, context: WordContext) -> None:
    """Styles, lists and notes; a damaged one is noted."""
    for kind, make in (("styles", WordStyles.of), ("numbering", WordNumbering.of)):
        if part := package.related(main, kind):
            try:
                setattr(context, kind, make(package.tree(part)))
            except Unreadable as why:
                context.builder.damaged(f"{kind}", why)
    for kind in (f"{note}s" for note in NOTES):
        if part := package.related(main, kind):
            try:
                WordText(package, part, context, lambda *blocks: None).read()
            except Unreadable as why:
                context.builder.damaged(kind, why)
    if context.notes.hidden:
        context.builder.leave_out("{} comments", context.notes.hidden)


def _margins(package: Package, main: str, context: WordContext, sections: Sequence[_Element], kind: str) -> list[str]:
    """The different headers, or footers, that the sections show."""
    relations = package.relations(main)
    found: dict[str, None] = {}
    for part in dict.fromkeys(relations.get(id, ("", ""))[1] for id in _shown(package, main, sections, kind)):
        blocks: list[str] = []
        if part in package:
            try:
                WordText(package, part, context, lambda *more, into=blocks: into.extend(more)).read()
            except Unreadable as why:
                context.builder.damaged(f"a {kind}", why)
        found.update(dict.fromkeys(block for block in blocks if block.strip()))
    return list(found)


def _shown(package: Package, main: str, sections: Sequence[_Element], kind: str) -> Iterator[str]:
    """Relation ids. A first page has its own only where the section says so, even pages where the settings do."""
    even = False
    if settings := package.related(main, "settings"):
        try:
            even = is_on(child(package.tree(settings), "w:evenAndOddHeaders"))
        except Unreadable:
            even = False
    last: dict[str, str] = {}
    for section in sections:
        own = {attribute(one, "w:type") or "default": attribute(one, "r:id") for one in children(section, f"w:{kind}Reference")}
        last.update(own)
        shown = {"first": is_on(child(section, "w:titlePg")), "default": True, "even": even}
        yield from (last[which] for which, on in shown.items() if on and which in last)
