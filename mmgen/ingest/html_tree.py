"""HTML parsed to a tree. Knows markup; not what is worth reading in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import decode

if TYPE_CHECKING:
    from lxml.html import HtmlElement

CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
DEEPEST = 1000  # levels of the tree where the parser cannot build all; its own limit is 2048


def parsed(data: bytes) -> tuple[HtmlElement, dict[str, Any]]:
    """The root and the metadata of `decode`. Raises Unreadable for what is no text."""
    from lxml import html as library

    declared = CHARSET.search(data[:2048])
    text, metadata = decode(data, declared[1].decode() if declared else "")
    text = re.sub(r"^\s*<\?xml[^>]*>", "", text)
    # in front: without it an empty text is an error; in bytes: a text with a meta element of its own would be decoded again
    page = b"<!doctype html><html>" + text.encode()
    options: dict[str, Any] = {"huge_tree": True, "remove_comments": True, "remove_pis": True, "encoding": "utf-8"}
    parser = library.HTMLParser(**options)
    root = library.document_fromstring(page, parser)
    last = parser.error_log.last_error
    if last is not None and last.message.startswith("Excessive depth"):  # what is deeper is missing
        root = library.etree.fromstring(page, library.etree.HTMLParser(target=FlatTree(), huge_tree=True, encoding="utf-8"))
    return root, metadata


class FlatTree:
    """A target of lxml's parser that builds a tree of DEEPEST levels; what is nested deeper stands side by side."""

    def __init__(self) -> None:
        from lxml.html import html_parser

        self.make = html_parser.makeelement
        self.root = self.make("html")
        self.path = [self.root]
        self.last, self.behind = self.root, False  # where text goes: into this element or behind it

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag != "html":
            known = {name: value for name, value in attributes.items() if NAME.fullmatch(name)}
            self.last, self.behind = self.make(tag if NAME.fullmatch(tag) else "span", known), False
            self.path[min(len(self.path), DEEPEST) - 1].append(self.last)
        self.path.append(self.last)

    def end(self, tag: str) -> None:
        ended = self.path.pop()
        if len(self.path) < DEEPEST:
            self.last = ended
        self.behind = True

    def data(self, text: str) -> None:
        if self.last is self.root or not self.behind:
            self.last.text = (self.last.text or "") + text
        else:
            self.last.tail = (self.last.tail or "") + text

    def comment(self, text: str) -> None: ...

    def close(self) -> HtmlElement:
        return self.root
