"""Mails: headers as metadata, one body, attachments by their own extractors, limits."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from office_files import compound, paragraph, word, zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats.mail import attachments
from mmgen.ingest.formats.mail import reader as mail
from mmgen.ingest.formats.mail.eml import eml
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.eml")


def made(subject: str = "Grüße", body: str = "Hello.") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann Lee <ann@x.org>", "b@y.org", subject
    message["Date"] = "Mon, 3 Jun 2024 10:00:00 +0200"
    message.set_content(body)
    return message


def attach(message: EmailMessage, name: str, data: bytes, kind: str = "application/octet-stream", **more: str) -> None:
    main, _, sub = kind.partition("/")
    message.add_attachment(data, maintype=main, subtype=sub, filename=name, **more)


HEAD = "# Grüße\n\nFrom: Ann Lee <ann@x.org>\nTo: b@y.org\nDate: 2024-06-03T10:00:00+02:00"


def test_headers_and_of_alternatives_the_text() -> None:
    message = made()
    message.add_alternative("<p>Hello in <b>html</b></p>", subtype="html")
    text, _, metadata = eml(PATH, message.as_bytes())
    assert text == f"{HEAD}\n\nHello."
    assert metadata == {"from": "Ann Lee <ann@x.org>", "to": "b@y.org", "title": "Grüße", "date": "2024-06-03T10:00:00+02:00"}
    message.get_payload(0).set_content(" ")  # type: ignore[union-attr]
    assert eml(PATH, message.as_bytes())[0] == f"{HEAD}\n\nHello in html"


def test_attachments_are_sections() -> None:
    message = made()
    attach(message, "Vertrag ä.docx", word(paragraph("Deposit", '<w:outlineLvl w:val="0"/>') + paragraph("900 euros")))
    attach(message, "../../rows.csv", b"name,age\nAnn,30\nBo,40\n")
    attach(message, "logo.png", b"png", "image/png", cid="<logo>")
    message.add_attachment(made("Inner", "Inner text."))
    text, _, metadata = eml(PATH, message.as_bytes())
    assert f"{HEAD}\n\nHello.\n\n## Attachment: Vertrag ä.docx\n\n### Deposit\n\n900 euros\n\n" in text
    assert "## Attachment: rows.csv\n\nname: Ann\nage: 30" in text and text.endswith("\n\nInner text.") and "## Inner" in text
    assert metadata[LEFT_OUT] == "1 inline pictures" and PARTIAL not in metadata


def test_what_cannot_be_read_of_attachments_is_told() -> None:
    message = made()
    attach(message, "a.zip", zipped({"b.zip": zipped({"c.txt": "recursive"})}))
    attach(message, "empty.txt", b" ")
    attach(message, "photo.jpg", b"jpg", "image/jpeg")
    attach(message, "cut.docx", word(paragraph("x"))[:-200])
    attach(message, "old.doc", compound({"WordDocument": b"x"}))
    attach(message, "part.docx", word(paragraph("Text.") + "<w:altChunk/>"))
    text, _, metadata = eml(PATH, message.as_bytes())
    assert text == f"{HEAD}\n\nHello.\n\n## Attachment: part.docx\n\nText."
    for told in (
        "(a.zip)",
        "1 empty attachments (empty.txt)",
        "1 attached pictures (photo.jpg)",
        "cut.docx, which is a damaged docx",
    ):
        assert told in metadata[PARTIAL]
    assert (
        "old.doc, which is an old Word file (.doc)" in metadata[PARTIAL]
        and "1 embedded documents of part.docx" in metadata[PARTIAL]
    )


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of attachments, messages within messages, and parts."""
    monkeypatch.setattr(attachments, "MOST", 3)
    message = made()
    for number in range(10):
        attach(message, f"{number}.txt", b"Text.")
    text, _, metadata = eml(PATH, message.as_bytes())
    assert text.count("## Attachment") == 3
    assert metadata[PARTIAL] == "7 attachments beyond the limit of 3 (3.txt, 4.txt, 5.txt, 6.txt, 7.txt and 2 more)"
    monkeypatch.setattr(attachments, "MOST", 200)
    inner = made("deepest", "unread")
    for depth in range(mail.NESTED + 1):
        outer = made(f"at {depth}")
        outer.add_attachment(inner)
        inner = outer
    text, _, metadata = eml(PATH, inner.as_bytes())
    assert "deepest" not in text and "1 messages that lie within 5 others" in metadata[PARTIAL]
    monkeypatch.setattr(mail, "PARTS", 5)
    assert metadata[PARTIAL] and "what follows 5 parts" in eml(PATH, message.as_bytes())[2][PARTIAL]


def test_encodings_and_damaged_headers() -> None:
    latin = b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nContent-Type: text/plain; charset=nonsense\n\nS\xfc\xdf"
    assert eml(PATH, latin)[0] == "# Grüße\n\nSüß"
    broken = (
        b"Subject: a\nDate: not a date\nTo: <<<>>>,;;\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nText without an end"
    )
    text, _, _ = eml(PATH, broken)
    assert "Date: not a date" in text and "Text without an end" in text
    encoded = b"Subject: a\nContent-Transfer-Encoding: base64\n\n!!!VGV4dA"
    assert "# a" in eml(PATH, encoded)[0]


def test_encrypted_parts_are_told() -> None:
    body = b"Subject: a\nContent-Type: multipart/encrypted; boundary=x\n\n"
    body += b"--x\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--x--\n"
    assert "what is encrypted" in eml(PATH, body)[2][PARTIAL]


@pytest.mark.parametrize("data", [b"Just a text.\nNo mail.", b"PK\x03\x04 zip", bytes(range(256))])
def test_no_mail(data: bytes) -> None:
    with pytest.raises(Unreadable, match="is no mail"):
        eml(PATH, data)
