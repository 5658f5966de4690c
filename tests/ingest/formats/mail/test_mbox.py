"""Mailboxes: mails in their order, quoted separators, what is damaged, deleted or the server's own."""

from pathlib import Path

import pytest

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats.mail.mbox import is_mailbox, mbox
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.mbox")
LINE = "From ann@x.org Mon Jun  3 10:00:00 2024\n"


def mail(subject: str, body: str, **headers: str) -> str:
    more = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"{LINE}From: Ann <ann@x.org>\n{more}Subject: {subject}\n\n{body}\n\n"


def read(*mails: str) -> tuple[str, dict[str, object]]:
    text, _, metadata = mbox(PATH, "".join(mails).encode())[:3]
    return text, metadata


def test_every_mail_under_its_subject() -> None:
    text, metadata = read(
        mail("Rent", "It is 900 euros."), mail("Deposit", ">From June on: 1800.\nFrom us.\n\nFrom here on nothing.")
    )
    assert text == (
        "# Rent\n\nFrom: Ann <ann@x.org>\n\nIt is 900 euros.\n\n"
        "# Deposit\n\nFrom: Ann <ann@x.org>\n\nFrom June on: 1800.\nFrom us.\n\nFrom here on nothing."
    )
    assert metadata == {"messages": 2}


def test_of_one_mail_the_headers_are_metadata_and_line_ends_do_not_matter() -> None:
    text, _, metadata = mbox(PATH, mail("Rent", "900").replace("\n", "\r\n").encode())[:3]
    assert metadata == {"from": "Ann <ann@x.org>", "title": "Rent", "messages": 1} and text.endswith("900")


def test_what_is_no_mail_for_its_reader() -> None:
    text, metadata = read(
        mail("DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA", "x"),
        mail("Gone", "deleted", X_Mozilla_Status="0009"),
        mail("Kept", "yes", X_Mozilla_Status="0001"),
    )
    assert "Gone" not in text and "INTERNAL" not in text and "# Kept" in text
    assert metadata["messages"] == 1 and metadata[LEFT_OUT] == "1 deleted mails"


def test_a_damaged_mail_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgen.ingest.formats.mail import mbox as module

    parse = module.parsed_mail

    def broken(data: bytes) -> object:
        if b"broken" in data:
            raise Unreadable("is a damaged mail (x)")
        return parse(data)

    monkeypatch.setattr(module, "parsed_mail", broken)
    text, metadata = read(mail("A", "one"), mail("broken", "two"), mail("C", "three"))
    assert "one" in text and "three" in text and metadata[PARTIAL] == "mail 2, which a damaged mail (x)"


def test_what_a_mailbox_is() -> None:
    assert is_mailbox(mail("A", "b").encode()) and is_mailbox(b"From - Fri Jul 08 12:08:34 2011\nX-Mozilla-Status: 0001\n\nx")
    assert not is_mailbox(b"From here to 12:30 there\nis prose.") and not is_mailbox(b"Subject: x\n\n")
    with pytest.raises(Unreadable, match="is no mailbox: it does not begin with a line From"):
        mbox(PATH, b"Dear Ann,\n\nFrom x Mon Jun  3 10:00:00 2024\n")
