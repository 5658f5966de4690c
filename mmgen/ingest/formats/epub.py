"""E-books as text: chapters in the order of reading, under their titles, without the table of contents."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mmgen.ingest import html, html_text, html_tree
from mmgen.ingest.charset import Unreadable, clean
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats.package import Package
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
METADATA = {"title": "title", "creator": "author", "language": "lang"}


def epub(path: Path, data: bytes) -> Extracted:
    """Chapters in the order of the spine. One without a heading gets its title from the table of contents.

    Raises:
        Unreadable: encrypted (DRM), damaged, of another format, or a bomb.
    """
    package = Package(data, "epub")
    builder = TextBuilder(len(data))
    _refuse_encrypted(package)
    main = _main(package)
    root, folder = package.tree(main, doctype=True), posixpath.dirname(main)
    items = {one.get("id", ""): one for one in root.iter("{*}item")}
    titles = _titles(package, items.values(), folder)
    guide = {_path(folder, one.get("href", "")) for one in root.iter("{*}reference") if one.get("type") == "toc"}
    try:
        for number, reference in enumerate(root.iter("{*}itemref"), 1):
            item = items.get(reference.get("idref", ""))
            if item is None or item.get("media-type") not in PAGES:
                builder.miss("{} chapters that are no text", str(number))
                continue
            part = _path(folder, item.get("href", ""))
            if "nav" not in item.get("properties", "").split() and part not in guide:
                _chapter(package, part, titles.get(part, ""), builder)
    except OutputFull:
        pass
    found = {}
    for key, name in METADATA.items():
        first = next(root.iter(f"{{http://purl.org/dc/elements/1.1/}}{key}"), None)
        if first is not None and (words := " ".join("".join(map(str, first.itertext())).split())):
            found[name] = words
    return builder.result(found)


def _chapter(package: Package, part: str, title: str, builder: TextBuilder) -> None:
    try:
        page, _ = html_tree.parsed(package.read(part))
        html.prune(page)
        text = clean(html_text.text_of(page))
    except Unreadable as why:
        builder.damaged(f"chapter {part}", why)
        return
    if title and text.strip() and not re.match(r"#{1,6} ", text):
        builder.add(f"# {title}")
    builder.add(*text.split("\n\n"))


def _refuse_encrypted(package: Package) -> None:
    if "META-INF/encryption.xml" not in package:
        return
    root = package.tree("META-INF/encryption.xml", doctype=True)
    methods = [one.get("Algorithm", "") for one in root.iter("{*}EncryptionMethod")]
    if any(method not in FONTS for method in methods):
        raise Unreadable("is encrypted (DRM); only its owner's programs can read it")


def _main(package: Package) -> str:
    root = package.tree("META-INF/container.xml", doctype=True)
    for one in root.iter("{*}rootfile"):
        if (path := str(one.get("full-path", ""))) in package:
            return path
    raise Unreadable("is a damaged epub (it names no package document); save it anew")


def _path(folder: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _titles(package: Package, items: Iterable[_Element], folder: str) -> dict[str, str]:
    """Part -> the first title that the table of contents has for it, of EPUB 3 or 2."""
    found: dict[str, str] = {}
    for item in items:
        part = _path(folder, item.get("href", ""))
        nav, ncx = "nav" in item.get("properties", "").split(), item.get("media-type") == "application/x-dtbncx+xml"
        if not (nav or ncx) or part not in package:
            continue
        try:
            root = package.tree(part, doctype=True)
        except Unreadable:  # only titles are lost
            continue
        here = posixpath.dirname(part)
        if ncx:
            pairs = [
                (point.find("{*}content"), "".join(map(str, label.itertext())))
                for point in root.iter("{*}navPoint")
                if (label := point.find("{*}navLabel")) is not None
            ]
            links = [(one.get("src", ""), words) for one, words in pairs if one is not None]
        else:
            links = [(one.get("href", ""), "".join(map(str, one.itertext()))) for one in root.iter("{*}a")]
        for href, words in links:
            found.setdefault(_path(here, href), " ".join(words.split()))
    return found
