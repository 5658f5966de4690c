"""Outlook messages (.msg) as text; [MS-OXMSG] on top of OLE compound files."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable, brief, clean
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats import compound, rtf
from mmgen.ingest.formats.mail import reader as mail
from mmgen.ingest.formats.mail.attachments import Attachments
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

if TYPE_CHECKING:
    from olefile import OleFileIO

SUBJECT, SENDER, ADDRESS, SMTP, TO, CC = "0037", "0C1A", "0C1F", "5D01", "0E04", "0E03"
BODY, HTML, RTF = "1000", "1013", "1009"
DATA, NAME, SHORT_NAME, KIND, CONTENT_ID = "3701", "3707", "3704", "370E", "3712"
SENT = (0x0039, 0x0E06)  # when it was sent, or delivered
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
RTF_START = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)  # what the dictionary of compressed RTF begins with; [MS-OXRTFCP] 2.1.2.1


class OutlookStorage:
    """A message or attachment in the file: its properties by tag."""

    def __init__(self, file: OleFileIO, path: tuple[str, ...] = ()) -> None:
        self.file, self.path = file, path

    def text(self, tag: str) -> str:
        """A property of text; empty where it is absent."""
        if (data := self.raw(f"{tag}001F")) is not None:
            return clean(data.decode("utf-16-le", "replace")).rstrip("\0 ")
        data = self.raw(f"{tag}001E")
        return "" if data is None else mail.body_text(data.rstrip(b"\0"), "text/plain", "")

    def data(self, tag: str) -> bytes | None:
        """A property of bytes."""
        return self.raw(f"{tag}0102")

    def raw(self, tag: str) -> bytes | None:
        path = [*self.path, f"__substg1.0_{tag}"]
        if not self.file.exists(path) or self.file.get_type(path) != 2:  # 2: a stream
            return None
        return self._stream(path)

    def _stream(self, path: list[str]) -> bytes:
        known = len(self.file.parsing_issues)
        try:
            with self.file.openstream(path) as stream:
                data = bytes(stream.read())
        except Exception as why:  # olefile lets all kinds of errors out of damaged files
            raise Unreadable(f"is a damaged Outlook message ({brief(why)}); save it anew") from None
        if len(self.file.parsing_issues) > known:  # it gives what it could read
            raise Unreadable(f"is a damaged Outlook message ({self.file.parsing_issues[-1][1]}); save it anew")
        return data

    def sent(self) -> str:
        """ISO 8601, in UTC; empty where it is not known."""
        path = [*self.path, compound.MESSAGE]
        if not self.file.exists(path):
            return ""
        data = self._stream(path)
        for begin in range(32 if not self.path else 24, len(data) - 15, 16):
            kind, tag, _, value = struct.unpack_from("<HHIQ", data, begin)
            if tag in SENT and kind == 0x40 and value < 2**62:
                return (EPOCH + timedelta(microseconds=value // 10)).isoformat(timespec="seconds")
        return ""

    def inside(self, prefix: str) -> list[OutlookStorage]:
        """Its attachments, or recipients."""
        depth = len(self.path)
        names = {
            one[depth]
            for one in self.file.listdir(streams=False, storages=True)
            if tuple(one[:depth]) == self.path and len(one) > depth and one[depth].startswith(prefix)
        }
        return [OutlookStorage(self.file, (*self.path, name)) for name in sorted(names)]


def msg(path: Path, data: bytes) -> Extracted:
    """As `eml` reads mails. Of the body its text, else its HTML, else its compressed RTF.

    Raises:
        Unreadable: no Outlook message, or damaged.
    """
    builder = TextBuilder(len(data))
    reader = mail.MailReader(builder, Attachments(builder), nested)
    headers: dict[str, str] = {}
    with _opened(data) as file:
        try:
            headers = _message(reader, OutlookStorage(file), 0)
        except OutputFull:
            pass
        except Unreadable as why:
            if not builder.blocks:
                raise
            builder.damaged("what follows", why)
    return builder.result(mail.metadata_of(headers))


def nested(reader: mail.MailReader, name: str, data: bytes, depth: int) -> None:
    """An Outlook message that lies in a mail."""
    if depth >= mail.NESTED:
        reader.builder.miss(f"{{}} messages that lie within {mail.NESTED} others", name)
        return
    try:
        with _opened(data) as file:
            _message(reader, OutlookStorage(file), depth + 1)
    except Unreadable as why:
        reader.builder.damaged(name, why)


def _opened(data: bytes) -> OleFileIO:
    if not compound.is_message(data):
        compound.refuse(data, "msg")
        raise Unreadable("is no Outlook message by its content; rename it")
    return compound.opened(data)


def _message(reader: mail.MailReader, storage: OutlookStorage, depth: int) -> dict[str, str]:
    sender, address = storage.text(SENDER), storage.text(SMTP) or storage.text(ADDRESS)
    shown = f"{sender} <{address}>" if sender and "@" in address and address != sender else sender or address
    found = {
        "from": shown,
        "to": storage.text(TO),
        "cc": storage.text(CC),
        "date": storage.sent(),
        "subject": storage.text(SUBJECT),
    }
    headers = {key: " ".join(text.split())[: mail.LONGEST] for key, text in found.items() if text.strip()}
    reader.head(headers, depth)
    reader.builder.add(_body(reader, storage))
    for attachment in storage.inside("__attach_version1.0_"):
        _attachment(reader, attachment, depth)
    return headers


def _body(reader: mail.MailReader, storage: OutlookStorage) -> str:
    if text := storage.text(BODY).strip():
        return text
    html = storage.data(HTML) or (storage.text(HTML).encode() or None)
    if html:
        return mail.body_text(html, "text/html", "")
    if packed := storage.data(RTF):
        try:
            return "\n\n".join(rtf.lines(unpacked(packed)))
        except Unreadable as why:
            reader.builder.damaged("its text", why)
    return ""


def _attachment(reader: mail.MailReader, storage: OutlookStorage, depth: int) -> None:
    name = storage.text(NAME) or storage.text(SHORT_NAME) or "unnamed"
    name = " ".join(name.replace("\\", "/").rpartition("/")[2].split())[:200]
    kind, data = storage.text(KIND), storage.data(DATA)
    if storage.text(CONTENT_ID) and (kind.startswith("image/") or name.lower().endswith((".png", ".jpg", ".jpeg", ".gif"))):
        reader.builder.leave_out("{} inline pictures")
    elif not reader.attachments.room(name):
        return
    elif data is None:
        inside = storage.inside(f"__substg1.0_{DATA}000D")
        if not inside:
            reader.builder.miss("{} attachments that are only linked", name)
        elif depth >= mail.NESTED:
            reader.builder.miss(f"{{}} messages that lie within {mail.NESTED} others", name)
        else:
            _message(reader, inside[0], depth + 1)
    elif name.lower().endswith(".eml"):
        reader.nested(name, mail.parsed_mail(data), depth)
    elif name.lower().endswith(".msg"):
        nested(reader, name, data, depth)
    else:
        reader.attachments.read(name, kind, data)


def unpacked(data: bytes) -> bytes:
    """Compressed RTF; [MS-OXRTFCP] 3.1. Raises Unreadable for what is none."""
    if len(data) < 16:
        raise Unreadable("is damaged: its RTF is cut")
    _, size, magic, _ = struct.unpack_from("<IIII", data)
    if magic == 0x414C454D:  # not compressed
        return data[16 : 16 + size]
    if magic != 0x75465A4C:
        raise Unreadable("is damaged: its RTF is of no known kind")
    window, write, out, at = bytearray(RTF_START.ljust(4096, b"\0")), len(RTF_START), bytearray(), 16
    while at < len(data) and len(out) < size:
        flags, at = data[at], at + 1
        for bit in range(8):
            if at >= len(data):
                break
            if not flags >> bit & 1:
                piece, at = data[at : at + 1], at + 1
            elif at + 1 < len(data):
                reference, at = data[at] << 8 | data[at + 1], at + 2
                offset, length = reference >> 4, (reference & 15) + 2
                if offset == write:
                    return bytes(out)
                made = bytearray()
                for step in range(length):  # it may read what it writes
                    byte = window[(offset + step) % 4096]
                    made.append(byte)
                    window[(write + step) % 4096] = byte
                piece = bytes(made)
            else:
                return bytes(out)
            for step, byte in enumerate(piece):
                window[(write + step) % 4096] = byte
            write = (write + len(piece)) % 4096
            out += piece
    return bytes(out)
