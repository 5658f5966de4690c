"""The store's images: thumbnails, captions and vectors of their own space, beside the passages. Decodes no pixels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmgen.errors import BadRequest, NotFound, StoreError
from mmgen.interfaces import ImageHit, Scalar
from mmgen.stores import fusion
from mmgen.stores.lexical.analyzer import columns
from mmgen.stores.lexical.language import detected
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.relational.interface import RelationalDatabase, VectorSearch, WordSearch
from mmgen.stores.schema import IMAGE_KIND

DEPTH = 100  # candidates that each query brings


@dataclass(frozen=True)
class StoredImage:
    """An image as it is stored."""

    uri: str  # of the file, or within it: report.pdf#picture-2
    source: str  # the file
    source_hash: str  # sha256 of the file's bytes
    content_hash: str  # sha256 of the image's bytes
    dhash: int  # see mmgen.ingest.near_duplicates
    width: int  # pixels
    height: int
    thumbnail: bytes = field(repr=False)
    caption: str = ""
    page: int | None = None  # from 1, in a pdf
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


class ImageStore:
    """The images of a store that is open. Thread-safe as the store is."""

    def __init__(
        self, database: RelationalDatabase, index: VectorSearch, words: WordSearch, encoder: str, dimension: int
    ) -> None:
        """`encoder`, `dimension`: the image space, as `space` tells or `make` made it."""
        self.encoder, self.dimension = encoder, dimension
        self._database, self._index, self._words = database, index, words

    @staticmethod
    def space(database: RelationalDatabase) -> tuple[str, int] | None:
        """The image space of a store, encoder and dimension, or None where it has none yet."""
        meta = dict(database.all("SELECT key, value FROM meta WHERE key LIKE 'picture_%'"))
        return (str(meta["picture_encoder"]), int(meta["picture_dimension"])) if meta else None

    @staticmethod
    def make(database: RelationalDatabase, encoder: str, dimension: int) -> None:
        """Gives the store this image space; one that has another keeps it."""
        with database.transaction() as connection:
            connection.executemany(
                "INSERT INTO meta(key, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [("picture_encoder", encoder), ("picture_dimension", str(dimension))],
            )

    def check_space(self, encoder: str, dimension: int | None = None) -> None:
        """Raises StoreError where the images came from another encoder; a precision is no other space."""
        kept = self.encoder.partition("#")[0]
        if kept != encoder.partition("#")[0] or (dimension and dimension != self.dimension):
            raise StoreError(
                f"the images of store {self._database.name} were embedded by {self.encoder} ({self.dimension} dimensions), not "
                f"{encoder}; use that encoder, or another --store"
            )

    def close(self) -> None:
        """Keeps the index if it changed."""
        self._index.close()

    def replace(self, source: str, images: Sequence[StoredImage], vectors: np.ndarray) -> None:
        """One file's images in place of those that it had before; see `replace_many`."""
        self.replace_many([(source, images, vectors)])

    def replace_many(self, rows: Iterable[tuple[str, Sequence[StoredImage], np.ndarray]]) -> None:
        """Several files' images in one transaction: all are stored when it returns, or none. Vectors: (images, E)."""
        with self._database.transaction() as connection:
            for source, images, vectors in rows:
                self._check(source, images, vectors)
                connection.execute(
                    "DELETE FROM documents WHERE id IN (SELECT document_id FROM pictures WHERE source = ?)", (source,)
                )
                for image, vector in zip(images, np.asarray(vectors, dtype=np.float32), strict=True):
                    connection.execute("DELETE FROM documents WHERE uri = ?", (image.uri,))
                    language = detected(image.caption)
                    number = self._database.insert(
                        connection,
                        "INSERT INTO documents(uri, kind, content_hash, text, pages, metadata, language) "
                        "VALUES (?, ?, ?, ?, '[]', ?, ?)",
                        (image.uri, IMAGE_KIND, image.content_hash, image.caption, json.dumps(dict(image.metadata)), language),
                    )
                    connection.execute(
                        "INSERT INTO pictures(document_id, source, source_hash, dhash, width, height, page, caption, "
                        "thumbnail, vector, terms, parts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (number, source, image.source_hash, image.dhash, image.width, image.height, image.page,
                         image.caption, image.thumbnail, self._database.vector(vector), *columns(image.caption, language)),
                    )  # fmt: skip

    def remove(self, source: str) -> int:
        """All images of a file -> how many there were."""
        with self._database.transaction() as connection:
            gone: int = connection.execute(
                "DELETE FROM documents WHERE id IN (SELECT document_id FROM pictures WHERE source = ?)", (source,)
            ).rowcount
        return gone

    def count(self) -> int:
        return int(self._database.one("SELECT count(*) FROM pictures")[0])

    def sources(self) -> list[str]:
        """The files that images came from."""
        return [source for (source,) in self._database.all("SELECT DISTINCT source FROM pictures ORDER BY source")]

    def stored(self, source: str) -> tuple[list[StoredImage], np.ndarray]:
        """A file's images as they were stored, and their vectors (N, E)."""
        rows = self._database.all(
            "SELECT p.id, d.uri, p.source, p.source_hash, d.content_hash, p.dhash, p.width, p.height, p.thumbnail, p.caption, "
            "p.page, d.metadata FROM pictures p JOIN documents d ON d.id = p.document_id WHERE p.source = ? ORDER BY p.id",
            (source,),
        )
        images = [
            StoredImage(uri, file, digest, content, dhash, width, height, bytes(thumb), caption, page, json.loads(told))
            for _, uri, file, digest, content, dhash, width, height, thumb, caption, page, told in rows
        ]
        return images, self._index.vectors([row[0] for row in rows])[1]

    def below(self, root: Path) -> list[str]:
        """Those of the files that are `root` or below it."""
        below = str(root).rstrip("/") + "/"
        return [source for source in self.sources() if source == str(root) or source.startswith(below)]

    def unchanged(self, source: str, source_hash: str, metadata: Mapping[str, Scalar] | None = None) -> bool:
        """Whether images of the file are here as it is now, with these metadata among their own."""
        row = self._database.one(
            "SELECT p.source_hash, d.metadata FROM pictures p JOIN documents d ON d.id = p.document_id WHERE p.source = ?",
            (source,),
        )
        return bool(row and row[0] == source_hash and (metadata or {}).items() <= json.loads(row[1]).items())

    def holding(self, content_hash: str, other_than: str) -> str | None:
        """The uri of an image with these very bytes that came from another file, if there is one."""
        row = self._database.one(
            "SELECT d.uri FROM documents d JOIN pictures p ON p.document_id = d.id WHERE d.content_hash = ? AND p.source != ?",
            (content_hash, other_than),
        )
        return row and str(row[0])

    def hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Perceptual hashes of all images (N,) int64, and their ids (N,)."""
        rows = np.array(self._database.all("SELECT dhash, id FROM pictures"), dtype=np.int64).reshape(-1, 2)
        return rows[:, 0], rows[:, 1]

    def look(self, image: int | str) -> tuple[str, str, bytes]:
        """Of an image's id or uri: its uri, its file and its thumbnail. Raises NotFound."""
        column = "p.id" if isinstance(image, int) else "d.uri"
        row = self._database.one(
            f"SELECT d.uri, p.source, p.thumbnail FROM pictures p JOIN documents d ON d.id = p.document_id WHERE {column} = ?",
            (image,),
        )
        if row is None:
            raise NotFound(f"store {self._database.name} has no image {image!r} (any more); search again")
        return str(row[0]), str(row[1]), bytes(row[2])

    def all(self, where: Mapping[str, Scalar] | Sequence[MetadataCondition | str] = ()) -> list[ImageHit]:
        """Every image, by uri, with a score of 0."""
        clause, parameters = self._database.within(self._database.conditions(where), "p.id", "pictures")
        return sorted(self._hits(clause, parameters, {}, {}), key=lambda hit: hit.uri)

    def search(
        self,
        text: np.ndarray | None = None,
        image: np.ndarray | None = None,
        words_of: str = "",
        k: int = 5,
        where: Mapping[str, Scalar] | Sequence[MetadataCondition | str] = (),
        weight: float = 0.5,
    ) -> list[ImageHit]:
        """The `k` best images, best first.

        Args:
            text, image: queries (E,) of unit length, at least one.
            words_of: the text itself, to be looked for in captions.
            k: 1 to 1,000.
            where: only images whose metadata fit.
            weight: the text's part, 0 to 1, where both are given.

        A hit's `scores` hold the cosine with each query ("text", "image") and the BM25 of its caption ("caption"). Cosines of
        two images are much larger than those of an image and a text, so that each is scaled over the candidates before they
        are added (mmgen.stores.fusion).
        """
        queries = {name: vector for name, vector in (("text", text), ("image", image)) if vector is not None}
        conditions = self._database.conditions(where)
        depth = max(DEPTH, k)
        captions = self._words(words_of, depth, conditions, "pictures") if words_of else {}
        found = {name: self._nearest(vector, depth, conditions) for name, vector in queries.items()}
        ids, vectors = self._index.vectors(sorted({number for one in (*found.values(), captions) for number in one}))
        for name, vector in queries.items():
            found[name] = dict(zip(ids.tolist(), (vectors @ vector).tolist(), strict=True))
        scores = _fused(found, captions, weight)
        best = sorted(scores, key=lambda number: -scores[number])[:k]
        clause, parameters = f"AND p.id {self._database.among}", [json.dumps(best)]
        hits = self._hits(clause, parameters, scores, {**found, "caption": captions})
        return sorted(hits, key=lambda hit: -hit.score)

    def _nearest(self, vector: np.ndarray, depth: int, conditions: Sequence[MetadataCondition]) -> dict[int, float]:
        if vector.shape != (self.dimension,):
            raise BadRequest(f"query vector has shape {vector.shape}, these images have ({self.dimension},); use their encoder")
        return self._index.nearest(vector, depth, conditions)

    def _hits(
        self,
        clause: str,
        parameters: Sequence[Scalar],
        scores: Mapping[int, float],
        by: Mapping[str, Mapping[int, float]],
    ) -> list[ImageHit]:
        rows = self._database.all(
            "SELECT p.id, p.document_id, d.uri, p.source, p.page, p.caption, p.width, p.height, d.metadata FROM pictures p "
            f"JOIN documents d ON d.id = p.document_id WHERE 1 = 1 {clause}",
            parameters,
        )
        return [
            ImageHit(
                number, document, uri, source, page, caption, width, height, scores.get(number, 0.0), json.loads(metadata),
                {name: one[number] for name, one in by.items() if number in one},
            )
            for number, document, uri, source, page, caption, width, height, metadata in rows
        ]  # fmt: skip

    def _check(self, source: str, images: Sequence[StoredImage], vectors: np.ndarray) -> None:
        if vectors.shape != (len(images), self.dimension):
            raise BadRequest(
                f"{source}: vectors of shape {vectors.shape} for {len(images)} images of {self.dimension} dimensions"
            )
        if not np.isfinite(vectors).all():
            raise BadRequest(f"{source}: a vector is not finite; the encoder failed on this image")
        assert all(image.source == source for image in images)


def _fused(found: Mapping[str, Mapping[int, float]], captions: Mapping[int, float], weight: float) -> dict[int, float]:
    """One score of an image: the cosine itself where nothing else takes part."""
    text, image = found.get("text", {}), found.get("image", {})
    if captions:
        text = fusion.weighted(fusion.scaled(text), fusion.scaled(captions, 0.0), fusion.DENSE_WEIGHT)
    if text and image:
        return fusion.weighted(fusion.scaled(text), fusion.scaled(image), weight)
    return dict(text or image)
