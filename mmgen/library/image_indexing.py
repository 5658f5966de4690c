"""Images on their way into a store: read ahead in threads, told from those that are there, embedded and stored together.

Knows a store's images and a client that embeds; not folders.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import MmgenError, NotFound, TooLarge, UnreadableFile
from mmgen.interfaces import Scalar
from mmgen.library.document_indexing import AddedImages, IndexProgress

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from mmgen.clients.image_encoder import ImageEncoderClient
    from mmgen.ingest.embedded_images import EmbeddedImage
    from mmgen.stores.image_store import ImageStore, StoredImage

AT_ONCE = 64  # images embedded and committed together
AHEAD = 4  # files read before their turn


@dataclass(frozen=True, eq=False)
class ReadImages:
    """A file as a thread left it."""

    source: str
    images: Sequence[tuple[StoredImage, Image | np.ndarray]] = ()  # pixels, or the vector of what was embedded elsewhere
    unchanged: bool = False
    failed: str = ""  # why it could not be read


class ImageIndexing:
    """Files wait until there are AT_ONCE images, which are embedded and committed together."""

    def __init__(
        self,
        store: ImageStore,
        client: Callable[[], ImageEncoderClient],
        metadata: Mapping[str, Scalar],
        keep_duplicates: bool,
        request: Request,
        progress: Callable[[IndexProgress], None] | None,
    ) -> None:
        self.store, self.client, self.metadata, self.request, self.progress = store, client, metadata, request, progress
        self.known = None if keep_duplicates else KnownImages(store)
        self.report = AddedImages()
        self.waiting: list[tuple[str, list[tuple[StoredImage, Image | np.ndarray]]]] = []

    def take(self, files: Sequence[Path], reading: Iterable[ReadImages] | None = None, stages: object = "") -> None:
        """All of them. `reading`: what they hold, in any order, where others read them, and the rates at which they do."""
        for number, read in enumerate(self._ahead(files) if reading is None else reading, 1):
            if read.failed:
                self.report.skipped.append((read.source, read.failed))
            elif read.unchanged:
                self.report.unchanged.append(read.source)
            else:
                self.waiting.append((read.source, [pair for pair in read.images if self._new(pair[0])]))
            if sum(len(images) for _, images in self.waiting) >= AT_ONCE or number == len(files):
                self._flush()
            if self.progress:
                stored = len(self.report.added)
                self.progress(IndexProgress(read.source, number, len(files), stored, stored, stages=str(stages)))

    def is_unchanged(self, path: Path) -> bool:
        """Whether the store has that file as it is; the report has it then."""
        try:
            with path.open("rb") as file:
                same = self.store.unchanged(str(path), hashlib.file_digest(file, "sha256").hexdigest(), self.metadata)
        except (OSError, ValueError):
            return False  # whoever reads it says why
        if same:
            self.report.unchanged.append(str(path))
        return same

    def _flush(self) -> None:
        """Stores what waits; all images of a file in one transaction."""
        import numpy as np

        vectors = self._vectors([one for _, pairs in self.waiting for _, one in pairs])
        ends = np.cumsum([len(pairs) for _, pairs in self.waiting])[:-1]
        parts = np.split(vectors, ends) if self.waiting else []
        rows = [
            (source, [stored for stored, _ in pairs], part) for (source, pairs), part in zip(self.waiting, parts, strict=True)
        ]
        if rows:
            self.store.replace_many(rows)
        self.report.added += [stored.uri for _, images_of_file, _ in rows for stored in images_of_file]
        self.waiting.clear()
        if self.known:
            self.known.stored()

    def _vectors(self, images: Sequence[Any]) -> np.ndarray:
        """(B, D)"""
        import numpy as np

        if not images:
            return np.empty((0, self.store.dimension), np.float32)
        if isinstance(images[0], np.ndarray):
            return np.stack(images)
        return self.client().embed_images(images, self.request)

    def _new(self, image: StoredImage) -> bool:
        """Whether the store has nothing like it; otherwise the report says what."""
        if self.known is None:
            return True
        if there := self.known.duplicate(image):
            self.report.duplicates.append((image.uri, there))
        elif there := self.known.near(image):
            self.report.near.append((image.uri, there))
        else:
            self.known.add(image)
        return not there

    def _ahead(self, files: Sequence[Path]) -> Iterator[ReadImages]:
        waiting: deque[Future[ReadImages]] = deque()
        with ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1), "mmgen-files") as threads:
            try:
                for path in files:
                    waiting.append(threads.submit(self._read, path))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                threads.shutdown(cancel_futures=True)

    def _read(self, path: Path) -> ReadImages:
        """In any thread."""
        return read_images(path, self.metadata, self.store.unchanged)


class KnownImages:
    """The store's images and those on their way, to be compared with. Comparing costs 8 bytes an image."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self.hashes, ids = store.hashes()
        self.keys: list[int | str] = ids.tolist()  # ids of what was there, uris of what came since
        self.contents: dict[str, str] = {}  # of what came: sha256 to uri
        self.fresh: dict[str, bytes] = {}  # of what is not stored yet: uri to thumbnail

    def duplicate(self, image: StoredImage) -> str | None:
        """The uri of the same bytes."""
        return self.contents.get(image.content_hash) or self.store.holding(image.content_hash, image.source)

    def near(self, image: StoredImage) -> str | None:
        """The uri of the same image, saved anew. A file's own earlier version does not count."""
        from mmgen.ingest import near_duplicates

        for place in near_duplicates.near(image.dhash, self.hashes):
            key = self.keys[place]
            try:
                uri, source, thumbnail = (str(key), "", self.fresh[str(key)]) if key in self.fresh else self.store.look(key)
            except NotFound:  # replaced or removed since
                continue
            if (isinstance(key, str) or source != image.source) and near_duplicates.same(thumbnail, image.thumbnail):
                return uri
        return None

    def add(self, image: StoredImage) -> None:
        import numpy as np

        self.hashes = np.append(self.hashes, np.int64(image.dhash))
        self.keys.append(image.uri)
        self.contents[image.content_hash] = image.uri
        self.fresh[image.uri] = image.thumbnail

    def stored(self) -> None:
        """What was on its way is there."""
        self.fresh.clear()


def read_images(
    path: Path,
    metadata: Mapping[str, Scalar],
    unchanged: Callable[[str, str, Mapping[str, Scalar]], bool] = lambda source, digest, metadata: False,
) -> ReadImages:
    """What a file holds. `unchanged`: whether a store has it already."""
    from mmgen.ingest import loaders

    source = str(path).encode("utf-8", "backslashreplace").decode()
    try:
        if source != str(path):
            raise UnreadableFile(f"{source} has a name that is not UTF-8; rename it")
        data = loaders.read_bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        if unchanged(source, digest, metadata):
            return ReadImages(source, unchanged=True)
        return ReadImages(source, list(opened(path, data, digest, metadata)))
    except (UnreadableFile, NotFound, TooLarge) as why:
        return ReadImages(source, failed=str(why))


def opened(path: Path, data: bytes, digest: str, metadata: Mapping[str, Scalar]) -> Iterator[tuple[StoredImage, Image]]:
    """An image file's image, or those of a document that can be had and are no ornaments."""
    from mmgen.ingest import embedded_images

    if path.suffix.lower().removeprefix(".") not in embedded_images.SUFFIXES:
        yield _stored(path, digest, embedded_images.EmbeddedImage("", data), metadata)
        return
    for inner in embedded_images.inside(path, data):
        try:
            stored, decoded = _stored(path, digest, inner, metadata)
        except MmgenError:
            continue
        if min(stored.width, stored.height) >= embedded_images.LEAST:
            yield stored, decoded


def _stored(path: Path, digest: str, inner: EmbeddedImage, metadata: Mapping[str, Scalar]) -> tuple[StoredImage, Image]:
    from mmgen.ingest import image_files, near_duplicates
    from mmgen.stores.image_store import StoredImage

    uri = f"{path}#{inner.name}" if inner.name else str(path)
    decoded = image_files.decode(inner.data, uri, image_files.ENOUGH)
    described, told = image_files.describe(decoded)
    image = image_files.rgb(decoded)
    page = {} if inner.page is None else {"page": inner.page}
    stored = StoredImage(
        uri=uri,
        source=str(path),
        source_hash=digest,
        content_hash=hashlib.sha256(inner.data).hexdigest(),
        dhash=near_duplicates.dhash(image),
        width=int(told["width"]),
        height=int(told["height"]),
        thumbnail=near_duplicates.thumbnail(image),
        caption=inner.caption or described,
        page=inner.page,
        metadata={**told, **page, **metadata},
    )
    return stored, near_duplicates.reduced(image)
