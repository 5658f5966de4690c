"""Mails as text: the headers people read, the body, then attachments and forwarded messages under their names."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from dataclasses import dataclass
from email.errors import MessageError
from email.message import EmailMessage
from typing import Any

from mmgen.ingest import html_text
from mmgen.ingest.charset import Unreadable, brief, clean, decode
from mmgen.ingest.formats.mail.attachments import Attachments
from mmgen.ingest.formats.text_builder import TextBuilder
from mmgen.ingest.html import prune
from mmgen.ingest.html_tree import parsed

HEADERS = {"from": "from", "to": "to", "cc": "cc", "date": "date", "subject": "title"}
NESTED = 5  # messages within messages that are read
PARTS = 20_000  # of a mail that are looked at
LONGEST = 1_000  # characters of a header


@dataclass
class MailReader:
    """Reads one mail, and those in it, into a builder."""

    builder: TextBuilder
    attachments: Attachments
    outlook: Callable[[MailReader, str, bytes, int], None]  # reads an Outlook message by name and depth
    parts: int = 0

    def message(self, message: EmailMessage, depth: int = 0) -> dict[str, str]:
        """A mail and what it carries. `depth`: how many mails it lies in. Returns its headers."""
        headers = {key: text for key in HEADERS if (text := header(message, key))}
        self.head(headers, depth)
        texts, others = self._parts(message)
        for part in texts:
            self.builder.add(body_text(_bytes(part), part.get_content_type(), part.get_content_charset() or ""))
        for part in others:
            self._part(part, depth)
        return headers

    def head(self, headers: dict[str, str], depth: int) -> None:
        """Who wrote what to whom: the subject as a heading, the other headers as a record."""
        if subject := headers.get("subject", ""):
            self.builder.add(f"{'#' if depth == 0 else '##'} {subject}")
        elif depth:
            self.builder.add("## Message")
        lines = [f"{key.capitalize()}: {text}" for key, text in headers.items() if key != "subject"]
        self.builder.add("\n".join(lines))

    def _parts(self, message: EmailMessage) -> tuple[list[EmailMessage], list[EmailMessage]]:
        """The parts of the body, of alternatives the text, and what is attached; messages in it are not entered."""
        texts: list[EmailMessage] = []
        others: list[EmailMessage] = []
        todo: list[Any] = [message]  # the library's types know no policy
        while todo:
            part = todo.pop()
            self.parts += 1
            if self.parts > PARTS:
                self.builder.miss(f"what follows {PARTS:,} parts")
                break
            inside = part.get_payload()
            kind = part.get_content_type()
            if kind == "multipart/alternative" and isinstance(inside, list):
                todo.append(_best(inside))
            elif kind.startswith("multipart/") and isinstance(inside, list):
                todo += reversed(inside)
            elif kind in ("text/plain", "text/html") and not part.get_filename() and not part.is_attachment():
                texts.append(part)
            else:
                others.append(part)
        return texts, others

    def _part(self, part: EmailMessage, depth: int) -> None:
        kind, name = part.get_content_type(), attachment_name(part)
        if kind in ("application/pgp-encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"):
            self.builder.miss("what is encrypted", name)
        elif kind.endswith("-signature"):
            return
        elif (part.get_content_disposition() == "inline" and kind.startswith("image/")) or (
            part.get("Content-ID") and kind.startswith("image/")
        ):
            self.builder.leave_out("{} inline pictures")
        elif not self.attachments.room(name):
            return
        elif kind == "message/rfc822" or name.lower().endswith(".eml"):
            inside = part.get_payload()
            nested: Any = inside[0] if isinstance(inside, list) and inside else parsed_mail(_bytes(part))
            self.nested(name, nested, depth)
        elif name.lower().endswith(".msg"):
            self.outlook(self, name, _bytes(part), depth)
        else:
            self.attachments.read(name, kind, _bytes(part))

    def nested(self, name: str, message: EmailMessage, depth: int) -> None:
        """A message in a message."""
        if depth >= NESTED:
            self.builder.miss(f"{{}} messages that lie within {NESTED} others", name)
        else:
            self.message(message, depth + 1)


def parsed_mail(data: bytes) -> EmailMessage:
    """Raises Unreadable for what the parser cannot take, such as thousands of parts within one another."""
    try:
        return email.message_from_bytes(data, policy=email.policy.default)
    except (MessageError, ValueError, LookupError, RecursionError) as why:
        raise Unreadable(f"is a damaged mail ({brief(why)})") from None


def metadata_of(headers: dict[str, str]) -> dict[str, Any]:
    return {HEADERS[key]: text for key, text in headers.items()}


def header(message: EmailMessage, key: str) -> str:
    """A header on one line, a date as ISO 8601 writes it; the parser raises all kinds of errors for damaged ones."""
    try:
        found: Any = message.get(key, "")
        text = found.datetime.isoformat() if getattr(found, "datetime", None) else str(found or "")
    except Exception:
        text = str(dict(message.raw_items()).get(key.capitalize(), ""))
    return clean(" ".join(text.split()))[:LONGEST]


def attachment_name(part: EmailMessage) -> str:
    """Its file name without folders, else its kind."""
    try:
        name = part.get_filename() or ""
    except Exception:  # of damaged headers
        name = ""
    name = " ".join(clean(name).replace("\\", "/").rpartition("/")[2].split())[:200]
    return name or f"unnamed {part.get_content_type()}"


def body_text(data: bytes, kind: str, charset: str) -> str:
    """A body as text; HTML keeps its outline."""
    if kind == "text/html":
        try:
            root, _ = parsed(data.decode(charset, "replace").encode() if charset else data)
        except (LookupError, Unreadable):
            root, _ = parsed(data.decode("utf-8", "replace").encode())
        prune(root)
        return clean(html_text.text_of(root))
    try:
        return clean(data.decode(charset or "utf-8")).strip()
    except (LookupError, UnicodeDecodeError):
        try:
            return decode(data)[0].strip()
        except Unreadable:
            return clean(data.decode("utf-8", "replace")).strip()


def _bytes(part: EmailMessage) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except Exception:  # of damaged encodings
        found = None
    return found if isinstance(found, bytes) else b""


def _best(parts: list[Any]) -> Any:
    """Of alternatives the plain text, if it says anything; else the HTML, else the last."""
    plain = next((part for part in parts if part.get_content_type() == "text/plain" and _bytes(part).strip()), None)
    if plain is not None:
        return plain
    rich = (part for part in parts if part.get_content_type() in ("text/html", "multipart/related", "multipart/mixed"))
    return next(rich, parts[-1])
