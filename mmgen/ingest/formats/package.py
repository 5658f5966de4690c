"""Zip archives of XML parts, as office programs and e-books write them, read under limits."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mmgen.ingest.charset import Unreadable, brief
from mmgen.ingest.extraction import progress
from mmgen.ingest.formats import compound

if TYPE_CHECKING:
    from lxml.etree import _Element

GROWTH, ROOM = 200, 32 * 2**20
"""What is read of an archive may unpack to GROWTH * its bytes + ROOM, and never to more than MOST bytes."""
MOST = 2**29
TAGS = 2**20
"""Tags that may follow one another without any of them being read and freed: each takes some 100 bytes."""
STEP = 10_000  # elements after which the time of the limits begins anew: their number is bounded
TAGS_GROWTH, TAGS_ROOM = 16, 2**19
"""What is read of an archive may hold TAGS_GROWTH * its bytes + TAGS_ROOM tags: they take time, text or none."""
SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, NotImplementedError, RuntimeError)
"""What zipfile raises for archives that are cut, damaged or encrypted."""


class Package:
    """The parts of an archive by name. What is unpacked is counted as it is read, whatever sizes the archive declares."""

    def __init__(self, data: bytes, kind: str) -> None:
        """`kind`: the format's name, for messages. Raises Unreadable for what is no whole zip archive."""
        self.kind = kind
        compound.refuse(data, kind)
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except DAMAGE as why:
            raise self.damaged(why) from None
        self.names = {info.filename: info for info in self.zip.infolist()}
        if (content := content_kind(data, self.names)) not in ("", kind):
            raise Unreadable(f"is no {kind} but {content} by its content; rename or convert it")
        self.known: dict[str, dict[str, tuple[str, str]]] = {}  # relations of parts
        self.left = self.limit = min(GROWTH * len(data) + ROOM, MOST)
        self.tags = self.most_tags = TAGS_GROWTH * len(data) + TAGS_ROOM

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def damaged(self, why: BaseException) -> Unreadable:
        return Unreadable(f"is a damaged {self.kind} ({brief(why)}); save it anew")

    def _no_xml(self, name: str, why: Exception) -> Unreadable:
        """OSError is what lxml raises for bytes that are none of the encoding; its message names a file that is not there."""
        said = "bytes that are none of its encoding" if isinstance(why, OSError) else brief(why)
        return Unreadable(f"is a damaged {self.kind} ({name}: {said}); save it anew")

    def open(self, name: str) -> PartStream:
        """A part as a stream of bytes. Raises Unreadable where it is missing or encrypted."""
        if name not in self.names:
            raise Unreadable(f"is a damaged {self.kind} (it has no {name}); save it anew")
        if self.names[name].flag_bits & 1:
            raise Unreadable("is encrypted; save it without a password first")
        return PartStream(self, name)

    def read(self, name: str) -> bytes:
        """The bytes of a part."""
        with self.open(name) as part:
            part.counted = False  # no tree is made of them
            return part.read()

    def tree(self, name: str, doctype: bool = False) -> _Element:
        """The root element of a small part.

        Args:
            name: of the part.
            doctype: whether it may declare a document type; its entities are never expanded.

        Raises:
            Unreadable: missing, no XML, or too large.
        """
        from lxml import etree

        try:
            with self.open(name) as part:
                root = etree.parse(part, etree.XMLParser(**SAFE, remove_comments=True, remove_pis=True)).getroot()
        except (etree.XMLSyntaxError, OSError) as why:
            raise self._no_xml(name, why) from None
        self._check_type(root, name, doctype)
        return root

    def elements(self, name: str, tags: tuple[str, ...], events: tuple[str, ...] = ("end",)) -> Iterator[tuple[str, _Element]]:
        """Elements of these tags as the part is parsed. Whoever takes them clears them; see `forget`.

        Raises:
            Unreadable: as `tree`; what came before the damage was given out already.
        """
        from lxml import etree

        with self.open(name) as part:
            found: Any = etree.iterparse(part, events, tag=tags, remove_comments=True, remove_pis=True, **SAFE)
            first = True
            try:
                for count, (event, element) in enumerate(found):
                    if count % STEP == 0:
                        progress.tell(0, 0)
                    if first:
                        self._check_type(element, name, False)
                        first = False
                    yield event, element
                    part.waiting = 0
                if first and found.root is not None:
                    self._check_type(found.root, name, False)
            except (etree.XMLSyntaxError, OSError) as why:
                raise self._no_xml(name, why) from None

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Id -> (type, the last word of its address; target part) of what a part refers to within the package."""
        if name in self.known:
            return self.known[name]
        folder, base = posixpath.split(name)
        where = posixpath.join(folder, "_rels", f"{base}.rels")
        out = self.known[name] = {}
        if where not in self:
            return out
        for one in self.tree(where):
            target = one.get("Target", "")
            if one.get("TargetMode") != "External" and target:
                path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
                out[one.get("Id", "")] = (one.get("Type", "").rpartition("/")[2], path if path in self else unquote(path))
        return out

    def related(self, name: str, kind: str) -> str | None:
        """The first part of that type to which a part refers, if it is there."""
        return next((target for type, target in self.relations(name).values() if type == kind and target in self), None)

    def title(self) -> str:
        """Of the core properties of an office document."""
        part = self.related("", "core-properties") or self.related("", "metadata/core-properties")
        if not part:
            return ""
        try:
            return " ".join(" ".join(self.tree(part).itertext("{http://purl.org/dc/elements/1.1/}title")).split())
        except Unreadable:
            return ""

    def _check_type(self, element: _Element, name: str, allowed: bool) -> None:
        if not allowed and element.getroottree().docinfo.doctype:
            raise Unreadable(f"declares a document type in {name}, which no {self.kind} may (an XML bomb?); save it anew")


class PartStream(io.RawIOBase):
    """Unpacks one part and counts the bytes. Raises Unreadable where the package grows too large or is damaged."""

    def __init__(self, package: Package, name: str) -> None:
        self.package, self.name = package, name
        self.waiting = 0  # tags read since an element was taken
        self.counted = True  # whether tags count
        try:
            self.file = package.zip.open(package.names[name])
        except DAMAGE as why:
            raise package.damaged(why) from None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        package = self.package
        try:
            data = self.file.read(size if 0 <= size <= package.left else package.left + 1)
        except DAMAGE as why:
            raise package.damaged(why) from None
        package.left -= len(data)
        if package.left < 0:
            limit = package.limit / 2**20
            raise Unreadable(f"unpacks to more than {limit:.0f} MB (a zip bomb?), which is the limit for its size; split it")
        if self.counted:
            self._count(data.count(b"<"))
        return data

    def _count(self, tags: int) -> None:
        self.waiting += tags
        self.package.tags -= tags
        if self.waiting > TAGS:
            raise Unreadable(f"holds more than {TAGS:,} tags within one element of {self.name} (an XML bomb?); save it anew")
        if self.package.tags < 0:
            raise Unreadable(
                f"holds more than {self.package.most_tags:,} tags (an XML bomb?), the limit for its size; split it"
            )

    def close(self) -> None:
        self.file.close()
        super().close()


def content_kind(data: bytes, names: Container[str]) -> str:
    """The suffix that an archive with these parts should have; empty where that is not known."""
    if "word/document.xml" in names:
        return "docx"
    if "ppt/presentation.xml" in names:
        return "pptx"
    if "xl/workbook.xml" in names:
        return "xlsx"
    if "xl/workbook.bin" in names:
        return "xlsb"
    if found := re.match(
        rb".{30}mimetypeapplication/(epub|vnd\.oasis\.opendocument\.(?:text|spreadsheet|presentation))", data, re.S
    ):
        return {b"text": "odt", b"spreadsheet": "ods", b"presentation": "odp"}.get(found[1].rpartition(b".")[2], "epub")
    return "epub" if "META-INF/container.xml" in names and "content.xml" not in names else ""


def forget(element: _Element) -> None:
    """Frees an element and what stands before it among its siblings."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]
