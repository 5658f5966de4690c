"""What a file is by its first bytes, where a text was expected: one line says so, and what to do."""

from __future__ import annotations

UNPACK = "unpack it and add the folder"
IMAGE = "is an image; add it with --images, or read it as text with OCR"
MEDIA = "is audio or video; add what is said as text"
SURE = {
    b"PK\x03\x04": f"is a zip archive or an office document with another name; rename it, or {UNPACK}",
    b"\x1f\x8b": f"is compressed (gzip); {UNPACK}",
    b"\xfd7zXZ\x00": f"is compressed (xz); {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"is compressed (zstd); {UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"is a 7z archive; {UNPACK}",
    b"Rar!\x1a\x07": f"is a rar archive; {UNPACK}",
    b"%PDF-": "is a PDF file by its first bytes; rename it to end in .pdf",
    b"\xd0\xcf\x11\xe0": "is an old office file, or one with a password; save it anew in today's format, without a password",
    b"\x89PNG": IMAGE,
    b"\xff\xd8\xff": IMAGE,
    b"\x7fELF": "is a program; give its source",
    b"SQLite format 3\x00": "is an SQLite database; export its tables as CSV",
}
"""First bytes that no text has."""
LIKELY = {
    b"BZh": f"is compressed (bzip2); {UNPACK}",
    b"GIF8": IMAGE,
    b"II*\x00": IMAGE,
    b"MM\x00*": IMAGE,
    b"RIFF": "is an image, audio or video; give its text",
    b"ID3": MEDIA,
    b"OggS": MEDIA,
    b"fLaC": MEDIA,
    b"\x1aE\xdf\xa3": MEDIA,
    b"MZ": "is a program; give its source",
}
"""First bytes of files that are known not to be text."""
BINARY = "is a binary file; give text, or a format that mmgen reads"


def refusal(data: bytes) -> str:
    """Completes a sentence that begins with the path; empty where the first bytes could be a text's."""
    return next((told for first, told in SURE.items() if data.startswith(first)), "")


def described(data: bytes) -> str:
    """The same of data that are no text."""
    if data[257:262] == b"ustar":
        return f"is a tar archive; {UNPACK}"
    if data[4:8] == b"ftyp":
        return IMAGE if data[8:12] in (b"heic", b"heix", b"mif1", b"avif") else MEDIA
    return refusal(data) or next((told for first, told in LIKELY.items() if data.startswith(first)), BINARY)
