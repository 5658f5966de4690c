"""Mailboxes (.mbox, and Thunderbird's files without a suffix) as text, mail by mail; RFC 4155."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats.mail import outlook
from mmgen.ingest.formats.mail.attachments import Attachments
from mmgen.ingest.formats.mail.reader import MailReader, header, metadata_of, parsed_mail
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

SEPARATOR = rb"From \S*[^\n]*\d:\d\d[^\n]*\n"
FIRST = re.compile(SEPARATOR + rb"(?:>?[!-9;-~]+:)")
CUT = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))" + SEPARATOR)
QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
INTERNAL = "FOLDER INTERNAL DATA"  # the subject of what mail servers keep for themselves
DELETED = 0x0008  # in X-Mozilla-Status: it is in the file until the folder is compacted


def is_mailbox(data: bytes) -> bool:
    """Whether a file begins as a mailbox does: a separator, then a header."""
    return data[:5] == b"From " and FIRST.match(data[:4096]) is not None


def mbox(path: Path, data: bytes) -> Extracted:
    """Every mail as `eml` reads it, in the order of the file, until the text is as long as it may be; how many there are as
    metadata. A damaged mail is told, deleted ones and the server's own are left out.

    Raises:
        Unreadable: no mailbox.
    """
    cuts = [cut.span() for cut in CUT.finditer(data)]
    if not cuts or cuts[0][0] > 0:
        raise Unreadable("is no mailbox: it does not begin with a line From ...; rename it")
    builder, read = TextBuilder(len(data)), 0
    headers: dict[str, str] = {}
    with contextlib.suppress(OutputFull):
        for number, mail in enumerate(_mails(data, cuts), 1):
            try:
                message = parsed_mail(mail)
            except Unreadable as why:
                builder.damaged(f"mail {number}", why)
                continue
            if INTERNAL in header(message, "subject"):
                continue
            if _status(header(message, "x-mozilla-status")) & DELETED:
                builder.leave_out("{} deleted mails")
                continue
            read += 1
            headers = MailReader(builder, Attachments(builder), outlook.nested).message(message)
    metadata: dict[str, Any] = metadata_of(headers) if read == 1 else {}
    return builder.result({**metadata, "messages": read})


def _mails(data: bytes, cuts: list[tuple[int, int]]) -> Iterator[bytes]:
    for (_, first), (last, _) in pairwise([*cuts, (len(data), len(data))]):
        yield QUOTED.sub(rb"\1", data[first:last])


def _status(text: str) -> int:
    with contextlib.suppress(ValueError):
        return int(text, 16)
    return 0
