"""Mails as programs save them (.eml) as text; RFC 5322 and MIME."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats.mail import outlook
from mmgen.ingest.formats.mail.attachments import Attachments
from mmgen.ingest.formats.mail.reader import HEADERS, MailReader, header, metadata_of, parsed_mail
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder


def eml(path: Path, data: bytes) -> Extracted:
    """Headers as metadata and as the first lines; of alternatives the text, not its HTML; attachments by their own extractors.

    Pictures in the text are left out and told, as are attachments that cannot be read.

    Raises:
        Unreadable: no mail.
    """
    if not data[:1].strip() and b"\n" not in data[:1000]:
        raise Unreadable("is no mail; rename it")
    message = parsed_mail(data)
    if not any(message.get(key) for key in ("from", "to", "subject", "date", "received", "message-id", "mime-version")):
        raise Unreadable("is no mail: it has none of the headers From, To, Subject and Date; rename it")
    builder = TextBuilder(len(data))
    headers: dict[str, str] = {key: text for key in HEADERS if (text := header(message, key))}
    with contextlib.suppress(OutputFull):
        MailReader(builder, Attachments(builder), outlook.nested).message(message)
    return builder.result(metadata_of(headers))
