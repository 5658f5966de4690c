"""Outlook messages: headers, the best body, attachments and messages within."""

import struct
from pathlib import Path

import pytest
from office_files import compound, paragraph, word

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats.mail import reader as mail
from mmgen.ingest.formats.mail.outlook import RTF_START, msg, unpacked
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.msg")
SENT = struct.pack("<HHIQ", 0x40, 0x39, 6, (1_717_401_600 + 11_644_473_600) * 10**7)  # 2024-06-03 08:00 UTC


def stored(properties: dict[str, str | bytes], **storages: object) -> dict[str, object]:
    texts = {f"__substg1.0_{tag}001F": text.encode("utf-16-le") for tag, text in properties.items() if isinstance(text, str)}
    streams = {f"__substg1.0_{tag}0102": data for tag, data in properties.items() if isinstance(data, bytes)} | texts
    return {"__properties_version1.0": bytes(32) + SENT, **streams, **storages}


HEAD: dict[str, str | bytes] = {"0037": "Charter", "0C1A": "Ann Lee", "0C1F": "ann@x.org", "0E04": "Bo"}


def test_a_message_with_all_that_it_carries() -> None:
    inner = stored({"0037": "Inner", "1000": "Inner text."})
    inner["__properties_version1.0"] = bytes(24)
    files = {
        "__attach_version1.0_#00000000": stored({"3707": "contract.docx", "3701": word(paragraph("Deposit: 900 euros"))}),
        "__attach_version1.0_#00000001": {"__substg1.0_3701000D": inner},
        "__attach_version1.0_#00000002": stored({"3707": "logo.png", "3712": "cid", "370E": "image/png", "3701": b"png"}),
        "__attach_version1.0_#00000003": stored({"3707": "cloud.xlsx"}),
        "__attach_version1.0_#00000004": stored({"3707": "x.zip", "3701": b"PK"}),
    }
    text, _, metadata = msg(PATH, compound(stored({**HEAD, "1000": "Hello."}, **files)))
    head = "# Charter\n\nFrom: Ann Lee <ann@x.org>\nTo: Bo\nDate: 2024-06-03T08:00:00+00:00"
    assert text == f"{head}\n\nHello.\n\n## Attachment: contract.docx\n\nDeposit: 900 euros\n\n## Inner\n\nInner text."
    lost = "1 attachments that are only linked (cloud.xlsx); 1 attachments of kinds that are not read (x.zip)"
    assert metadata[PARTIAL] == lost and metadata[LEFT_OUT] == "1 inline pictures"
    assert (metadata["title"], metadata["from"], metadata["date"]) == (
        "Charter",
        "Ann Lee <ann@x.org>",
        "2024-06-03T08:00:00+00:00",
    )


def test_of_bodies_the_text_then_html_then_rtf() -> None:
    rtf = b"{\\rtf1 From \\b rtf\\b0}"
    packed = struct.pack("<IIII", len(rtf) + 12, len(rtf), 0x414C454D, 0) + rtf
    bodies: dict[str, str | bytes] = {"1000": "plain", "1013": b"<p>From html</p>", "1009": packed}
    shown = []
    while bodies:
        shown.append(msg(PATH, compound(stored({**HEAD, **bodies})))[0].rpartition("\n\n")[2])
        bodies.pop(next(iter(bodies)))
    assert shown == ["plain", "From html", "From rtf"]


def test_compressed_rtf() -> None:
    """The first example of [MS-OXRTFCP] 4.1, and what is none."""
    data = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232 0af3206865 6c090020 627705b0 6c647d0a 800fa0".replace(
            " ", ""
        )
    )
    assert len(RTF_START) == 207
    assert unpacked(data) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    for bad in (b"short", bytes(40)):
        with pytest.raises(Unreadable, match="is damaged: its RTF"):
            unpacked(bad)


def test_messages_within_messages_have_a_limit() -> None:
    tree = stored({"0037": "deepest", "1000": "unread"})
    for depth in range(mail.NESTED + 1):
        tree = stored({"0037": f"at {depth}"}, **{"__attach_version1.0_#00000000": {"__substg1.0_3701000D": tree}})
    text, _, metadata = msg(PATH, compound(tree))
    assert "at 0" in text and "deepest" not in text and metadata[PARTIAL] == "1 messages that lie within 5 others (unnamed)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (compound({"WordDocument": b"x"}), r"is an old Word file \(.doc\); save it as docx"),
        (compound({"EncryptedPackage": b"x"}), "is encrypted; save it without a password first"),
        (compound({"other": b"x"}), "is an OLE file of no kind that mmgen reads"),
        (b"Text.", "is no Outlook message by its content; rename it"),
        (compound(stored(HEAD))[:700], "is a damaged OLE file"),
    ],
)
def test_bad_input_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        msg(PATH, data)


def test_a_damaged_stream_is_told() -> None:
    """Its first sector is none that the file has."""
    data = compound(stored({"1000": "Hello.", "0037": "Charter"}))
    at = data.index("__substg1.0_1000001F".encode("utf-16-le")) + 116
    text, _, metadata = msg(PATH, data[:at] + b"\xff\xff\xff\x0f" + data[at + 4 :])
    assert text.startswith("# Charter") and metadata[PARTIAL].startswith("what follows, which a damaged Outlook message")
