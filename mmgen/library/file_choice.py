"""Which files an `add` reads: those of the given paths that hold text or images, and why it leaves the others out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.library.image_library import ImageLibrary


@dataclass
class FileChoice:
    """Files to read as documents, and those whose images are read: a pdf is both."""

    given: Sequence[Path]  # files and folders
    documents: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (file or folder, reason)
    unread: Counter[str] = field(default_factory=Counter)  # hidden names and files without text in the folders, by kind

    @classmethod
    def find(
        cls,
        given: Sequence[Path],
        include: Sequence[str],
        exclude: Sequence[str],
        gallery: ImageLibrary | None,
        *,
        ignored: bool,
        ocr: bool,
        outside: Path,
    ) -> FileChoice:
        """The files in the given paths.

        Args:
            given: files and folders.
            include, exclude: glob patterns for what stands in folders.
            gallery: what takes their images; None: they are not read.
            ignored: also what .gitignore and its like leave out.
            ocr: image files are documents too.
            outside: a folder of which nothing is read: the store's own, where it lies in a given one.

        Raises:
            NotFound: a path does not exist.
        """
        from mmgen.ingest import file_discovery, image_files, image_text

        choice = cls(given)
        found = file_discovery.files(
            given,
            include=include,
            exclude=exclude,
            ignored=ignored,
            left_out=None if ignored else choice.left_out,
            unread=choice.unread,
        )
        files = [path.resolve() for path in found]
        if ocr:
            patterns = include or image_text.PATTERNS
            more = file_discovery.files(given, include=patterns, exclude=exclude, ignored=ignored, left_out=[])
            files = list(dict.fromkeys([*files, *(path.resolve() for path in more)]))
        if ocr or gallery is not None:
            for suffix in image_files.SUFFIXES:
                del choice.unread[suffix]
        if gallery is not None:
            choice.images = [path for path in gallery.files(given, include, exclude, ignored) if gallery.takes(path)]
            files = [path for path in files if ocr or not gallery.is_image(path)]
        choice.documents = [path for path in files if not path.is_relative_to(outside)]
        choice.images = [path for path in choice.images if not path.is_relative_to(outside)]
        return choice

    def only(self, wanted: Callable[[Path], bool] | None) -> tuple[list[Path], list[Path]]:
        """The documents and images for which it is true; None: all."""
        if wanted is None:
            return self.documents, self.images
        return [path for path in self.documents if wanted(path)], [path for path in self.images if wanted(path)]

    def nothing(self) -> BadRequest:
        """What is said where there is no file to read."""
        where = ", ".join(map(str, self.given)) or "the given paths"
        if self.left_out:
            return BadRequest(
                f"{where}: no files to read; {self.left_out[0][0]} is {self.left_out[0][1]}; --no-ignore reads it"
            )
        beside = ", ".join(f"{count} {kind}" for kind, count in (+self.unread).most_common())
        return BadRequest(
            f"{where}: no files to read; give files or a folder with txt, md, html, pdf, office files, mails or code"
            + (f"; left out as hidden or without text: {beside}" if beside else "")
        )
