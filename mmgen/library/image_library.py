"""The images of a store with the encoder that embeds and asks them: files in, images found. Part of the wiring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.deprecated import attributes, warn
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound
from mmgen.interfaces import ImageHit, Scalar
from mmgen.library.cluster.stages import StageRates, StageRuntime
from mmgen.library.document_indexing import AddedImages, IndexProgress
from mmgen.library.image_indexing import ImageIndexing
from mmgen.library.store_handle import MOST_HITS, StoreHandle, checked

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.clients.image_encoder import ImageEncoderClient
    from mmgen.stores.image_store import ImageStore


@attributes(is_picture="is_image")
class ImageLibrary:
    """The images of a store that may hold texts too; it is opened on first use."""

    def __init__(self, handle: StoreHandle, encoder: str | None = None) -> None:
        """`encoder`: reference for a store without images; one that has some keeps to its own, and refuses another."""
        if (of_library := getattr(handle, "handle", None)) is not None:  # the release before gave it a library
            warn("ImageLibrary(library)", "library.gallery()")
            handle = of_library
        self.handle, self.rt, self.encoder_reference = handle, handle.rt, encoder

    @property
    def path(self) -> Path:
        return self.handle.path

    def files(
        self,
        paths: Iterable[Path],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ignored: bool = True,
        left_out: list[tuple[str, str]] | None = None,
    ) -> list[Path]:
        """Images, and documents that may hold some; of folders what `include` names, or else both kinds.

        `ignored`, `left_out`: see `mmgen.ingest.file_discovery.files`.
        """
        from mmgen.ingest import embedded_images, file_discovery, image_files

        suffixes = (*image_files.SUFFIXES, *embedded_images.SUFFIXES)
        patterns = include or ["*." + "".join(f"[{c}{c.upper()}]" for c in suffix) for suffix in suffixes]
        found = file_discovery.files(list(paths), include=patterns, exclude=exclude, ignored=ignored, left_out=left_out)
        return [path.resolve() for path in found]

    def is_image(self, path: Path) -> bool:
        """By its suffix."""
        from mmgen.ingest import image_files

        return path.suffix.lower().removeprefix(".") in image_files.SUFFIXES

    def takes(self, path: Path) -> bool:
        """Whether it is an image or may hold some, by its suffix."""
        from mmgen.ingest import embedded_images

        return self.is_image(path) or path.suffix.lower().removeprefix(".") in embedded_images.SUFFIXES

    def add(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        metadata: Mapping[str, Scalar] | None = None,
        sync: bool = False,
        keep_duplicates: bool = False,
        ignored: bool = False,
        ray: str | None = None,
        progress: Callable[[IndexProgress], None] | None = None,
        request: Request | None = None,
    ) -> AddedImages:
        """Reads images (folders recursively), also those in pdf and html files, and stores them. What did not change is
        left alone.

        Args:
            paths: files and folders.
            include, exclude: glob patterns for what stands in folders.
            metadata: kept with every image, for filters.
            sync: also removes images whose files vanished from the given folders.
            keep_duplicates: also stores what is there already, byte for byte or saved anew.
            ignored: also what .gitignore and .mmgenignore name in folders.
            ray: address of a Ray whose nodes decode and embed; they must see the files under the same paths.
            progress: called after every file.
            request: cancels it between batches; what was stored until then stays.

        Raises:
            NotFound: a path does not exist; nothing was changed.
            BadRequest: no image in the given paths, or unusable metadata; nothing was changed.
            StoreError: the store cannot be written, or its images came from another encoder.
        """
        given = [Path(path).expanduser() for path in ([paths] if isinstance(paths, str | Path) else paths)]
        left_out: list[tuple[str, str]] = []
        files = self.files(given, include, exclude, ignored, left_out)
        if not files and not sync:
            where = ", ".join(map(str, given)) or "the given paths"
            if left_out:
                raise BadRequest(f"{where}: no images to read; {left_out[0][0]} is {left_out[0][1]}; --no-ignore reads it")
            raise BadRequest(f"{where}: no images to read; give files or a folder with png, jpeg, webp, gif, avif, pdf or html")
        report = self.read(files, given if sync else (), metadata or {}, keep_duplicates, progress, request, ray)
        report.ignored = left_out
        return report

    def read(
        self,
        files: Sequence[Path],
        roots: Iterable[Path] = (),
        metadata: Mapping[str, Scalar] | None = None,
        keep_duplicates: bool = False,
        progress: Callable[[IndexProgress], None] | None = None,
        request: Request | None = None,
        ray: str | None = None,
    ) -> AddedImages:
        """Stores the images of these files. What vanished from the roots goes first: what was moved is no duplicate."""
        metadata, began = checked(metadata or {}), time.perf_counter()
        store = self.writable()
        gone = [source for root in roots for source in store.below(root.resolve()) if not Path(source).exists()]
        for source in gone:
            store.remove(source)
        client = partial(self.client, store)  # not loaded where nothing is new
        request = request or Request.new(priority="batch")
        adding = ImageIndexing(store, client, metadata, keep_duplicates, request, progress)
        if ray is None:
            adding.take(files)
        else:
            self._on_cluster(ray, adding, files)
        adding.report.removed, adding.report.seconds = gone, time.perf_counter() - began
        return adding.report

    def _on_cluster(self, ray: str, adding: ImageIndexing, files: Sequence[Path]) -> None:
        """What is new is decoded and embedded on the nodes of a Ray."""
        from mmgen.library.cluster import images, ray_stages

        new = [path for path in files if not adding.is_unchanged(path)]
        if not new:
            return
        encoder = self.encoder_reference or adding.store.encoder
        embed = images.EmbedImages(StageRuntime.of(self.rt.config), encoder)
        rates = StageRates(adding.report.stages)
        with ray_stages.cluster(ray) as run:
            rows = run([str(path) for path in new], images.DecodeImages(adding.metadata), embed)
            adding.take(new, images.told(rows, rates), rates)

    def search(
        self,
        text: str = "",
        image: Image | None = None,
        *,
        k: int = 5,
        where: Sequence[str] | Mapping[str, Scalar] = (),
        weight: float = 0.5,
        request: Request | None = None,
    ) -> list[ImageHit]:
        """The `k` images nearest to a text, to an image, or to both, best first.

        Args:
            text: what the images should show; its words are also looked for in captions.
            image: what they should be like.
            k: 1 to 1,000.
            where: metadata filters, such as `["year>=2020"]`.
            weight: the text's part, 0 to 1, where both are given.
            request: cancels it.

        Raises:
            NotFound: no store, or no images in it.
            BadRequest: neither text nor image, a value out of its range, or a filter that cannot be understood.
        """
        if not text.strip() and image is None:
            raise BadRequest("there is nothing to look for; give words, an image, or both")
        if isinstance(k, bool) or not 1 <= k <= MOST_HITS:
            raise BadRequest(f"k is {k}; it can be 1 to {MOST_HITS} images")
        if not 0 <= weight <= 1:  # nan is out too
            raise BadRequest(f"weight is {weight}; it can be 0 (the image alone counts) to 1 (the text alone)")
        store = self.filled()
        client = self.client(store)
        said = client.embed_texts([text], request)[0] if text.strip() else None
        seen = client.embed_images([prepared(image)], request)[0] if image is not None else None
        return store.search(said, seen, text, k, where, weight)

    def client(self, store: ImageStore) -> ImageEncoderClient:
        """What embeds that store's images."""
        return self.rt.seeing(self.encoder_reference or store.encoder)

    def filled(self) -> ImageStore:
        """The images for reading; NotFound with a remedy where there are none."""
        images: ImageStore | None = self.handle.readable().images
        name = self.handle.name
        if images is None or not images.count():
            raise NotFound(f"store {name} holds no images; add some first: mmgen image add PATH --store {name}")
        if self.encoder_reference:
            images.check_space(self.encoder_reference)
        return images

    def writable(self, make: bool = True) -> ImageStore:
        """The images for writing; the store and its image space are made if need be and `make`."""
        store = self.handle.writable(make)
        images: ImageStore | None = store.images
        if images is not None:
            if self.encoder_reference:
                images.check_space(self.encoder_reference)
            return images
        if not make:
            raise NotFound(f"store {self.handle.name} holds no images")
        client = self.rt.seeing(self.encoder_reference)
        made: ImageStore = store.image_space(client.name, client.dimension)
        return made


def prepared(image: Image) -> Image:
    """A query as the store's own images were before they were embedded."""
    from mmgen.ingest import image_files, near_duplicates

    return near_duplicates.reduced(image_files.rgb(image))
