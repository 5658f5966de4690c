"""A file that is no text says what it is instead."""

import gzip
import io
import re
import tarfile
import zipfile

import pytest

from mmgen.ingest.signatures import BINARY, described, refusal


def archive(levels: int) -> bytes:
    data = b"text"
    for _ in range(levels):
        with zipfile.ZipFile(packed := io.BytesIO(), "w") as file:
            file.writestr("a.zip", data)
        data = packed.getvalue()
    return data


def tar() -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w") as file:
        file.addfile(tarfile.TarInfo("a.txt"))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(20), "is a zip archive"),
        (gzip.compress(b"<p>x</p>", mtime=0), r"is compressed \(gzip\); unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0", "is a 7z archive; unpack it and add the folder"),
        (tar(), "is a tar archive; unpack it"),
        (b"BZh9\x17\x72", r"is compressed \(bzip2\)"),
        (b"%PDF-1.7", r"is a PDF file by its first bytes; rename it to end in \.pdf"),
        (b"\xd0\xcf\x11\xe0", "is an old office file"),
        (b"\0\0\0\x18ftypmp42", "is audio or video"),
        (b"\0\0\0\x18ftypheic", "is an image"),
        (b"\x00\x01\x02", BINARY),
    ],
)
def test_what_it_is(data: bytes, words: str) -> None:
    assert re.match(words, described(data))


@pytest.mark.parametrize("text", ["MZ", "BZh is a suffix", "ID3 tags", "RIFF", "{\\rtf1", "PK and others", ""])
def test_a_text_may_begin_so(text: str) -> None:
    assert not refusal(text.encode())
