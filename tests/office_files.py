"""Office files made by hand: zip archives of XML parts."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip archive of these parts; a part `mimetype` is stored as it is, as OpenDocument and EPUB ask."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    """A .rels part: id -> (type, target)."""
    rows = "".join(f'<Relationship Id="{id}" Type="{TYPES}/{kind}" Target="{to}"/>' for id, (kind, to) in targets.items())
    return f'<Relationships xmlns="{RELATIONS}">{rows}</Relationships>'


def word(body: str, **parts: str) -> bytes:
    """A docx with this content of `w:body`; parts by name, such as `footnotes`, `header1`: their root's content."""
    roots = {"styles": "styles", "numbering": "numbering", "footnotes": "footnotes", "endnotes": "endnotes"}
    roots |= {"comments": "comments", "settings": "settings"}
    space = f"{W} {M} {R} {MC} xmlns:v='urn:schemas-microsoft-com:vml' xmlns:o='urn:schemas-microsoft-com:office:office'"
    made = {"word/document.xml": f"<w:document {space}><w:body>{body}</w:body></w:document>"}
    targets = {}
    for name, content in parts.items():
        kind = name.rstrip("0123456789")
        root = roots.get(kind, {"header": "hdr", "footer": "ftr"}.get(kind, kind))
        made[f"word/{name}.xml"] = f"<w:{root} {space}>{content}</w:{root}>"
        targets[name] = (kind, f"{name}.xml")
    made["word/_rels/document.xml.rels"] = relations(targets)
    made["_rels/.rels"] = relations({"r": ("officeDocument", "word/document.xml")})
    return zipped(made)


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p>{f'<w:pPr>{properties}</w:pPr>' if properties else ''}{run(text)}</w:p>"


def run(text: str, properties: str = "") -> str:
    return f'<w:r>{f"<w:rPr>{properties}</w:rPr>" if properties else ""}<w:t xml:space="preserve">{text}</w:t></w:r>'


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"


def compound(tree: Mapping[str, object]) -> bytes:
    """An OLE compound file of streams (bytes) and storages (mappings); [MS-CFB]."""
    entries: list[list[object]] = []  # name, kind, right, child, content

    def add(name: str, kind: int, content: object) -> int:
        at = len(entries)
        entries.append([name, kind, -1, -1, content])
        if isinstance(content, Mapping):
            before = -1
            for key, inside in content.items():
                number = add(key, 1 if isinstance(inside, Mapping) else 2, inside)
                entries[at if before < 0 else before][3 if before < 0 else 2] = number
                before = number
        return at

    add("Root Entry", 5, tree)
    sectors: tuple[list[bytes], list[int]] = ([], [])
    small: tuple[list[bytes], list[int]] = ([], [])  # sectors of 64 bytes, in the stream of the root

    def store(data: bytes, into: tuple[list[bytes], list[int]], size: int) -> int:
        first, count = len(into[0]), -(-len(data) // size)
        into[0].extend(data[at : at + size].ljust(size, b"\0") for at in range(0, len(data), size))
        into[1].extend([*range(first + 1, first + count), -2] if count else [])
        return first if count else -2

    places = []
    for _, _, _, _, content in entries:
        data = content if isinstance(content, bytes) else b""
        places.append((store(data, small, 64) if len(data) < 4096 else store(data, sectors, 512), len(data)))
    places[0] = (store(b"".join(small[0]), sectors, 512), 64 * len(small[0]))
    first_small = store(struct.pack(f"<{len(small[1])}i", *small[1]), sectors, 512)
    records = []
    for (name, kind, right, inside, _), (start, length) in zip(entries, places, strict=True):
        words = str(name).encode("utf-16-le") + b"\0\0"
        head = words.ljust(64, b"\0") + struct.pack("<HBBiii", len(words), kind, 1, -1, right, inside)
        records.append(head + bytes(36) + struct.pack("<iQ", start, length))
    first = store(b"".join(records), sectors, 512)
    size = next(n for n in range(1, 100) if n * 128 >= len(sectors[1]) + n)
    begin = len(sectors[0])
    fat = [*sectors[1], *[-3] * size]
    table = struct.pack(f"<{len(fat)}i", *fat).ljust(size * 512, b"\xff")
    count = -(-len(small[1]) // 128)
    numbers = (62, 3, 0xFFFE, 9, 6, 0, size, first, 0, 4096, first_small, count, -2, 0)
    header = struct.pack("<8s16sHHHHH6xIIIIIiIiI", MAGIC, b"", *numbers)
    listed = struct.pack("<109i", *range(begin, begin + size), *[-1] * (109 - size))
    return header + listed + b"".join(sectors[0]) + table


MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
