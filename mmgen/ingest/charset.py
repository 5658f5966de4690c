"""Decodes bytes to text: detects the encoding and rejects binary data."""

from __future__ import annotations

import codecs
import re
from typing import Any

from mmgen.ingest.signatures import described, refusal

SAMPLE = 2**13
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\f\x1b") + b"\x7f"
ODD = frozenset({"undefined", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "utf_7", "mbcs", "oem"})
"""Codecs of Python that no page can mean."""
LIKELY = """utf_8 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso8859_2 iso8859_5 iso8859_7 iso8859_9 koi8_r
    koi8_u cp866 cp932 euc_jp iso2022_jp gb18030 big5 cp949""".split()  # noqa: SIM905  a list of words
"""Encodings of real files. On short texts detection confuses them with rare code pages (cp775)."""
SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """The data is not text; the message completes a sentence that begins with the path."""


def brief(why: BaseException) -> str:
    """A parser's exception on one short line, with its type where the message is short."""
    words = " ".join(str(why).split())[:120].rstrip(".")
    return words if words and isinstance(why, ValueError) else f"{type(why).__name__} {words}".rstrip()


def clean(text: str) -> str:
    """Newlines as \\n, no byte-order mark, no NUL, nothing that UTF-8 cannot store: the only changes made to a text."""
    text = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff")).replace("\0", " ")
    return SURROGATE.sub("\ufffd", text)


def decode(data: bytes, declared: str = "") -> tuple[str, dict[str, Any]]:
    """UTF-8, else UTF-16 or UTF-32, else the declared or most probable encoding; metadata names it if it is not UTF-8.

    Raises:
        Unreadable: too many control characters for a text, or the first bytes of another kind of file, which is named.
    """
    if told := refusal(data):
        raise Unreadable(told)
    text, encoding = _decoded(data, declared)
    sample = text[:SAMPLE]
    if sum(c < " " and c not in "\t\n\r\f\x1b" for c in sample) > len(sample) / 10:
        raise Unreadable(described(data))
    return clean(text), {} if encoding == "utf-8" else {"encoding": encoding}


def _decoded(data: bytes, declared: str) -> tuple[str, str]:
    wide = next((name for mark, name in MARKS if data.startswith(mark)), "") or _unmarked(data[:SAMPLE])
    if wide:
        return data.decode(wide, errors="replace"), wide
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        sample = data[:SAMPLE]
        if len(sample) - len(sample.translate(None, CONTROLS)) > len(sample) / 25:  # compressed data has about 11 per cent
            raise Unreadable(described(data)) from None
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    if bad * 10 <= len(text) - len(text.encode("ascii", "ignore")) - bad:
        return text, f"utf-8, {bad} characters unreadable"
    name = declared if _fits(data, declared) else _guess(data)
    return data.decode(name or "utf-8", errors="replace"), name or f"utf-8, {bad} characters unreadable"


def _unmarked(sample: bytes) -> str:
    """UTF-16 of mostly Latin text without a mark: every other byte is zero."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 10 > len(sample) * 4 and min(even, odd) * 20 < len(sample):
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _fits(data: bytes, encoding: str) -> bool:
    try:
        if codecs.lookup(encoding).name.replace("-", "_") in ODD:
            return False
        data.decode(encoding)
    except (LookupError, ValueError):
        return False
    return True


def _guess(data: bytes) -> str:
    """Where the statistics do not tell Western Europe from elsewhere, it is Windows-1252, which is far more common."""
    if len(data) < 32 and 2 * sum(byte > 127 for byte in data) < len(data) and _fits(data, "cp1252"):
        return "cp1252"
    from charset_normalizer import from_bytes

    sample = data[: 2**20]
    matches = from_bytes(sample[: sample.rfind(b"\n") + 1] or sample, cp_isolation=LIKELY)
    best = matches.best()
    if best is None:
        return ""
    equal = [m for m in matches if m.chaos <= best.chaos and m.coherence >= best.coherence]
    return "cp1252" if any("cp1252" in m.could_be_from_charset for m in equal) else str(best.encoding)
