"""One `add` under way: documents wait, are embedded together and stored. Knows a store and an encoder; reads no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.deprecated import attributes
from mmgen.engine.job import Request
from mmgen.errors import NotFound, UnreadableFile
from mmgen.ingest.records import LEFT_OUT, PARTIAL
from mmgen.interfaces import Document, Passage, Store
from mmgen.library.store_handle import prompts_of

if TYPE_CHECKING:
    import numpy as np

    from mmgen.clients.encoder import EncoderClient
    from mmgen.models.encoders.prompts import Prompts
    from mmgen.stores.copies import Copies

AT_ONCE = 256  # passages embedded and committed together


@dataclass
class StageRate:
    """What a stage of an `add` on several nodes has done so far."""

    items: int = 0
    busy_s: float = 0.0  # of all its processes together
    per_s: float = 0.0  # items by the seconds since the first file was sent


@dataclass(frozen=True, eq=False)
class PreparedDocument:
    """A file that was read, split and embedded elsewhere."""

    uri: str
    document: Document | None = None
    passages: list[Passage] = field(default_factory=list)
    vectors: np.ndarray | None = None  # (passages, D)
    failed: str = ""  # why it could not be read


@attributes(pictures="images")
@dataclass
class Added:
    """What an `add` did. `skipped`: (path, reason) of every file that could not be read; `partial`: (uri, what is missing)."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    copies: list[tuple[str, str]] = field(default_factory=list)  # (uri, the one with the same bytes, under which it is stored)
    removed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)  # (from, to); neither among `removed` nor among `copies`
    skipped: list[tuple[str, str]] = field(default_factory=list)
    partial: list[tuple[str, str]] = field(default_factory=list)  # among `added`
    unread_parts: list[tuple[str, str]] = field(
        default_factory=list
    )  # (uri, what is not read of such files: comments, pictures)
    ignored: list[tuple[str, str]] = field(default_factory=list)  # (file or folder, why it was left out of the given folders)
    unread: dict[str, int] = field(default_factory=dict)  # hidden names and files without text in the folders, by kind
    passages: int = 0
    seconds: float = 0.0
    images: AddedImages | None = None  # where they were asked for
    stages: dict[str, StageRate] = field(default_factory=dict)  # where the nodes of a cluster did it

    @property
    def changed(self) -> bool:
        """Whether anything happened, or could not."""
        return bool(
            self.added or self.copies or self.removed or self.moved or self.skipped or (self.images and self.images.changed)
        )

    def with_images(self, images: AddedImages) -> None:
        """What became of the images besides; a damaged pdf is told once."""
        told = dict(self.skipped)
        images.skipped = [(path, reason) for path, reason in images.skipped if path not in told]
        self.images = images

    def __str__(self) -> str:
        parts = [f"{len(self.added)} documents added ({self.passages} passages in {self.seconds:.1f} s)"]
        parts += [f"{len(self.partial)} of them in part"] if self.partial else []
        parts += [f"{len(self.copies)} copies of others"] if self.copies else []
        parts += [f"{len(self.ignored)} left out"] if self.ignored else []
        parts += [f"{len(self.unchanged)} unchanged"] if self.unchanged else []
        parts += [f"{len(self.moved)} moved"] if self.moved else []
        parts += [f"{len(self.removed)} removed"] if self.removed else []
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        return ", ".join(parts) + (f"; {self.images}" if self.images else "")


@dataclass
class AddedImages:
    """What became of images, by uris. `duplicates` and `near`: (uri, the one that is there) of what was left out."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)  # the same bytes
    near: list[tuple[str, str]] = field(default_factory=list)  # the same image, saved anew
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    ignored: list[tuple[str, str]] = field(default_factory=list)  # (file or folder, why it was left out)
    seconds: float = 0.0
    stages: dict[str, StageRate] = field(default_factory=dict)  # where the nodes of a cluster did it

    @property
    def changed(self) -> bool:
        """Whether anything happened, or could not."""
        return bool(self.added or self.removed or self.duplicates or self.near or self.skipped)

    def __str__(self) -> str:
        parts = [f"{len(self.added)} images added in {self.seconds:.1f} s"]
        parts += [f"{len(self.unchanged)} unchanged"] if self.unchanged else []
        parts += [f"{len(self.duplicates)} duplicates"] if self.duplicates else []
        parts += [f"{len(self.near)} near duplicates"] if self.near else []
        parts += [f"{len(self.ignored)} left out"] if self.ignored else []
        parts += [f"{len(self.removed)} removed"] if self.removed else []
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        return ", ".join(parts)


@dataclass(frozen=True)
class IndexProgress:
    """Progress of an `add`: the file it stands at, and counts so far."""

    uri: str
    files: int  # read
    of: int
    passages: int  # embedded; of an `add` of images: those
    added: int  # documents that are stored, whatever happens next
    page: int = 0  # pages of the present file that are read
    pages: int = 0  # and of how many; 0 for files that do not tell
    stages: str = ""  # rates of the stages, where the nodes of a cluster do it


class DocumentIndexing:
    """Documents wait until there are AT_ONCE passages, which are embedded and committed together."""

    def __init__(
        self,
        store: Store,
        encoder: Callable[[], EncoderClient],
        request: Request,
        progress: Callable[[IndexProgress], None] | None,
        of: int,
        stored: Callable[[Document], None] = lambda _: None,
    ) -> None:
        """`stored`: called for each document once it is."""
        self.store, self.encoder, self.request, self.progress, self.of = store, encoder, request, progress, of
        self.stored = stored
        self.report = Added()
        self.waiting: list[tuple[Document, list[Passage], np.ndarray | None]] = []  # its vectors, where it has them
        self.copies: Copies | None = getattr(store, "copies", None)
        self.names: list[tuple[str, str]] = []  # of copies of stored documents, and the first names of those
        self.names_of_waiting: list[tuple[str, str]] = []
        self.files = 0
        self.uri = ""
        self.pages = (0, 0)  # of the present document: read, and of how many
        self.stages = ""  # rates, where the nodes of a cluster read and embed

    def take(self, uri: str, unchanged: bool, read: Callable[[], Document]) -> None:
        """One more document. Raises Cancelled once its request was."""
        self.request.check()
        self.uri = uri
        if unchanged:
            self.report.unchanged.append(uri)
        else:
            try:
                document = read()
            except (UnreadableFile, NotFound) as why:  # NotFound: it vanished since the folder was listed
                self.report.skipped.append((uri, str(why)))
            else:
                self._take(document)
        self._taken()

    def take_prepared(self, prepared: PreparedDocument) -> None:
        """One more, of which the storing is left. Raises Cancelled as `take`."""
        self.request.check()
        self.uri = prepared.uri
        if prepared.document is None:
            self.report.skipped.append((prepared.uri, prepared.failed))
        else:
            self._take(prepared.document, prepared)
        self._taken()

    def _taken(self) -> None:
        self.files += 1
        if sum(len(passages) for _, passages, _ in self.waiting) >= AT_ONCE:
            self.flush()
        self._tell()

    def _take(self, document: Document, prepared: PreparedDocument | None = None) -> None:
        """One that was read: a copy of another, in the store or on its way there, is kept as its further name."""
        waiting = [one.uri for one, _, _ in self.waiting if replace(one, uri=document.uri) == document]
        of = (waiting[0] if waiting else self.copies.alike(document)) if self.copies else None
        if of is None or of == document.uri:
            if prepared is None:
                self.waiting.append((document, self._split(document), None))
            else:
                self.waiting.append((document, prepared.passages, prepared.vectors))
        else:
            self.report.copies.append((document.uri, of))
            (self.names_of_waiting if waiting else self.names).append((document.uri, of))

    def flush(self) -> None:
        """Stores what waits: the names of copies, whole documents in one transaction, and the names of copies of those."""
        self._name(self.names)  # first: a document that is replaced now leaves its text to its copies
        self._store()
        self._name(self.names_of_waiting)

    def _name(self, names: list[tuple[str, str]]) -> None:
        if names and self.copies:
            self.copies.add_many(names)
            names.clear()

    def _store(self) -> None:
        if not self.waiting:
            return
        self.store.add_many(list(self._embedded()))
        self.report.added += [document.uri for document, _, _ in self.waiting]
        self.report.partial += [
            (document.uri, str(document.metadata[PARTIAL])) for document, _, _ in self.waiting if PARTIAL in document.metadata
        ]
        self.report.unread_parts += [
            (document.uri, str(document.metadata[LEFT_OUT])) for document, _, _ in self.waiting if LEFT_OUT in document.metadata
        ]
        for document, _, _ in self.waiting:
            self.stored(document)
        self.waiting.clear()
        self._tell()

    def _embedded(self) -> Iterator[tuple[Document, list[Passage], np.ndarray]]:
        """What waits with its vectors, those that have none AT_ONCE at a time."""
        import numpy as np

        texts = [passage.text for _, passages, vectors in self.waiting if vectors is None for passage in passages]
        encoder, parts, prompts = self.encoder, [np.empty((0, 0), np.float32)] * (not texts), prompts_of(self.store)
        for first in range(0, len(texts), AT_ONCE):
            parts.append(encoder().embed_text(texts[first : first + AT_ONCE], self.request, "document", prompts))
            self.report.passages += len(parts[-1])
            self._tell()
        here, first = np.concatenate(parts), 0
        for document, passages, vectors in self.waiting:
            if vectors is None:
                yield document, passages, here[first : first + len(passages)]
                first += len(passages)
            else:
                self.report.passages += len(passages)
                yield document, passages, vectors

    def page(self, done: int, of: int) -> None:
        """So many pages of the present document are read."""
        self.pages = (done, of)
        self._tell()
        self.pages = (0, 0)

    def remove_vanished(self, roots: Sequence[Path], kept: Sequence[Path]) -> None:
        """Removes the documents of these folders whose files are not among `kept` and exist no longer."""
        names = set(map(str, kept))
        for uri in [uri for root in roots for uri in self.store.vanished(root.resolve(), names) if not Path(uri).exists()]:
            self.store.remove(uri)
            moved = next((pair for pair in self.report.copies if pair[1] == uri), None)
            if moved is None:
                self.report.removed.append(uri)
            else:
                self.report.copies.remove(moved)
                self.report.moved.append((uri, moved[0]))

    def _split(self, document: Document) -> list[Passage]:
        return splitting(self.encoder(), prompts_of(self.store))(document)

    def _tell(self) -> None:
        if self.progress:
            self.progress(
                IndexProgress(
                    self.uri, self.files, self.of, self.report.passages, len(self.report.added), *self.pages, self.stages
                )
            )


def splitting(encoder: EncoderClient, prompts: Prompts | None) -> Callable[[Document], list[Passage]]:
    """Splits documents into what the encoder reads whole, with the store's prompt before it."""
    from mmgen.ingest import splitter

    room = encoder.room("document", prompts)
    return lambda document: splitter.split(document, encoder.token_spans, max_tokens=min(200, room))
