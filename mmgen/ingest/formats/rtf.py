"""Rich Text Format as text; specification 1.9.1. A tokenizer and a stack of groups, no recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats import compound
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

TOKEN = re.compile(rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.S)
SKIPPED = frozenset(
    """fonttbl colortbl stylesheet info pict object objdata fldinst datafield themedata colorschememapping latentstyles
    listtable listoverridetable rsidtbl generator xmlnstbl datastore mmathPr bkmkstart bkmkend revtbl filetbl template
    nonshppict shpinst pgptbl userprops docvar passwordhash defchp defpap ftnsep ftnsepc aftnsep aftnsepc ftncn atnid
    atnauthor atntime atndate atnref atnparent annotation wgrffmtfilter fchars lchars sp pntext operator
    """.split()  # noqa: SIM905  a list of words
)
"""Destinations that the page does not show. Text boxes of drawings are in `shptxt`, within `shpinst`."""
NOTES = frozenset({"footnote", "header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"})
CHARACTERS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
    "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " ", "lbr": "\n", "softline": "\n", "zwj": "\u200d",
    "zwnj": "\u200c",
}  # fmt: skip
CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "big5", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
    255: "cp437",
}  # fmt: skip
DEEPEST = 10_000  # groups within groups


@dataclass(frozen=True)
class RtfGroup:
    """What holds until a group ends."""

    skipped: bool = False  # a destination that is not shown
    hidden: bool = False
    deleted: bool = False
    font: int = -1
    unicode_skip: int = 1  # characters that follow a \\u for older readers
    note: str = ""  # a destination of its own: footnote, header, footer
    starred: bool = False  # \\* came: an unknown destination is skipped
    fonts: bool = False  # within the font table
    in_table: bool = False
    outline: int = -1
    label: bool = False  # the number of an item


@dataclass
class RtfReader:
    """Reads one file into a builder."""

    builder: TextBuilder
    codepage: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    group: RtfGroup = field(default_factory=RtfGroup)
    stack: list[RtfGroup] = field(default_factory=list)
    pending: bytearray = field(default_factory=bytearray)  # bytes of the present encoding
    left: int = 0  # characters still to be skipped after a \\u
    text: list[str] = field(default_factory=list)  # of the present paragraph
    aside: dict[str, list[str]] = field(default_factory=dict)  # of headers and footers
    after: list[str] = field(default_factory=list)  # notes of the present paragraph
    note: list[str] = field(default_factory=list)  # text of the present note
    notes: int = 0
    cells: list[str] = field(default_factory=list)  # of the present row
    rows: list[list[TableCell]] = field(default_factory=list)  # of the present table
    surrogate: int = 0

    def read(self, data: bytes) -> None:
        """Raises Unreadable for more than DEEPEST groups within one another."""
        at = 0
        while at < len(data):
            match = TOKEN.match(data, at)
            if match is None:
                break  # a backslash at the end
            at = match.end()
            word, number, code, symbol, brace, plain = match.groups()
            if word == b"bin" and number:
                at += max(int(number), 0)
            elif plain is not None:
                self._bytes(plain)
            elif code is not None:
                self._bytes(bytes([int(code, 16)]))
            else:
                self._decode()
                self._control(word, number, symbol, brace)
        self._decode()
        self._table()
        self._paragraph()
        if self.stack:
            self.builder.miss("what follows: the file is cut, its last group never ends")

    def _control(self, word: bytes | None, number: bytes | None, symbol: bytes | None, brace: bytes | None) -> None:
        if brace == b"{":
            if len(self.stack) >= DEEPEST:
                raise Unreadable(f"is a damaged rtf (more than {DEEPEST:,} groups within one another); save it anew")
            self.stack.append(self.group)
            self.group = replace(self.group, starred=False)
        elif brace == b"}":
            self._end_group()
        elif symbol is not None:
            self._symbol(symbol)
        elif word is not None:
            self._word(word.decode(), int(number) if number else None)

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self.group = replace(self.group, starred=True)
        elif symbol in (b"\r", b"\n"):
            self._end_paragraph()
        else:
            self._say({b"~": "\u00a0", b"_": "-", b"-": ""}.get(symbol, symbol.decode("latin-1")))

    def _word(self, word: str, number: int | None) -> None:
        on, group = number != 0, self.group
        if word == "u" and number is not None:
            self._unicode(number % 65536)
        elif word in CHARACTERS:
            self._say(" " if word == "tab" and group.label else CHARACTERS[word])
        elif word in ("par", "sect", "page", "column"):
            self._end_paragraph()
        elif word in ("cell", "nestcell"):
            self._cell()
        elif word in ("row", "nestrow"):
            self._row()
        elif word == "v":
            self.group = replace(group, hidden=on)
        elif word == "deleted":
            self.group = replace(group, deleted=on)
        elif word == "plain":
            self.group = replace(group, hidden=False, font=-1)
        elif word == "pard":
            self.group = replace(group, in_table=False, outline=-1)
        elif word == "intbl":
            self.group = replace(group, in_table=True)
        elif word == "outlinelevel" and number is not None:
            self.group = replace(group, outline=number)
        elif word == "f" and number is not None:
            self.group = replace(group, font=number)
        elif word == "uc" and number is not None:
            self.group = replace(group, unicode_skip=max(number, 0))
        elif word == "fcharset" and number is not None and group.fonts:
            self.fonts[group.font] = CHARSETS.get(number, "")
        elif word == "ansicpg" and number is not None:
            self.codepage = {65001: "utf-8", 10000: "mac_roman"}.get(number, f"cp{number}")
        elif word in ("mac", "pc", "pca"):
            self.codepage = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
        else:
            self._destination(word)

    def _destination(self, word: str) -> None:
        group = self.group
        if word == "shptxt":
            self.group = replace(group, skipped=group.note == "skipped", starred=False)
        elif word in NOTES:
            self.group = replace(group, note=word, starred=False)
            self.note = self.note if group.note else []
        elif word == "listtext":
            self.group = replace(group, starred=False, label=True)
        elif word in SKIPPED or group.starred:
            if word == "annotation":
                self.builder.leave_out("{} comments")
            if word == "pict" and not group.skipped:
                self.builder.leave_out("{} pictures")
            if word == "object":
                return  # its result is shown
            self.group = replace(group, skipped=True, fonts=word == "fonttbl")

    def _end_group(self) -> None:
        ended, self.group = self.group, self.stack.pop() if self.stack else RtfGroup()
        if ended.note and not self.group.note:
            words, self.note = " ".join("".join(self.note).split()), []
            if ended.note == "footnote" and words:
                self.notes += 1
                self._say(f"[{self.notes}]")
                self.after.append(f"[{self.notes}] {words}")
            elif words and words not in self.aside.setdefault(ended.note[:6], []):
                self.aside[ended.note[:6]].append(words)

    def _bytes(self, data: bytes) -> None:
        if self.left:
            taken = min(self.left, len(data))
            self.left -= taken
            data = data[taken:]
        self.pending += data

    def _decode(self) -> None:
        """Turns the bytes since the last control word into text; of double-byte fonts two are one character."""
        self.left = 0
        if self.pending:
            data, self.pending = bytes(self.pending), bytearray()
            encoding = self.fonts.get(self.group.font) or self.codepage
            try:
                text = data.decode(encoding, "replace")
            except LookupError:
                text = data.decode("cp1252", "replace")
            self._say(text)

    def _unicode(self, code: int) -> None:
        if 0xD800 <= code < 0xDC00:
            self.surrogate = code
        elif 0xDC00 <= code < 0xE000:
            self._say(chr(0x10000 + ((self.surrogate - 0xD800) << 10) + code - 0xDC00) if self.surrogate else "\ufffd")
            self.surrogate = 0
        else:
            self._say(chr(code))
        self.left = self.group.unicode_skip

    def _say(self, text: str) -> None:
        group = self.group
        if group.skipped or group.hidden or group.deleted or not text:
            return
        (self.note if group.note else self.text).append(text)

    def _end_paragraph(self) -> None:
        if self.group.note:
            self.note.append(" ")
        elif not self.group.skipped:
            if self.group.in_table:
                self.text.append("\n")
            else:
                self._table()
                self._paragraph()

    def _paragraph(self) -> None:
        text, self.text = "".join(self.text).strip(" \n"), []
        if text and 0 <= self.group.outline < 9:
            text = f"{'#' * min(self.group.outline + 1, 6)} {' '.join(text.split())}"
        after, self.after = self.after, []
        self.builder.add(text, *after)

    def _cell(self) -> None:
        if not self.group.skipped and not self.group.note:
            self.cells.append("".join(self.text))
            self.text = []

    def _row(self) -> None:
        if not self.group.skipped and not self.group.note and self.cells:
            self.rows.append([TableCell(text, at) for at, text in enumerate(self.cells)])
            self.cells = []

    def _table(self) -> None:
        if self.cells:
            self._row()
        if self.rows:
            rows, self.rows = self.rows, []
            self.builder.add(*table_blocks(rows))


def rtf(path: Path, data: bytes) -> Extracted:
    """Paragraphs, tables, notes, results of fields; hidden and deleted text is left out, pictures are told.

    Headers come first, footers last. Letters are decoded by the code page of their font.

    Raises:
        Unreadable: no RTF, or damaged.
    """
    if not data.lstrip().startswith(b"{\\rtf"):
        compound.refuse(data, "rtf")
        raise Unreadable("is no rtf by its content; rename it")
    builder = TextBuilder(len(data))
    reader = RtfReader(builder)
    try:
        reader.read(data.lstrip())
        builder.add(*reader.aside.get("footer", ()))
    except OutputFull:
        pass
    return builder.result(title_of(data), reader.aside.get("header", ()))


def title_of(data: bytes) -> dict[str, str]:
    found = re.search(rb"{\\title ([^{}\\]{1,500})}", data[: 2**20])
    return {"title": found[1].decode("cp1252", "replace").strip()} if found and found[1].strip() else {}


def lines(data: bytes) -> Iterator[str]:
    """The paragraphs of a piece of RTF, as a mail may carry it."""
    text, _, _ = rtf(Path("body.rtf"), data)
    yield from text.split("\n\n")
