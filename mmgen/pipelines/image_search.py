"""image-search: the images of a store that show what words say, or are like another image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from mmgen.deprecated import keywords
from mmgen.engine.job import Request
from mmgen.interfaces import ImageHit, Scalar
from mmgen.library.document_library import DocumentLibrary
from mmgen.pipelines.image import image_io

if TYPE_CHECKING:
    from mmgen.library.document_indexing import AddedImages
    from mmgen.runtime import Runtime


class ImageSearch:
    """Find images in a store, by words, by an image, or by both.

    store: name or path of the store.
    model: what sees: embedded:NAME, a folder or a repo id; a store that holds images keeps to its own.
    """

    def __init__(self, rt: Runtime, *, store: str | None = None, model: str | None = None) -> None:
        self.rt = rt
        self.library = DocumentLibrary.open(rt, store)
        self.gallery = self.library.gallery(model)

    def add(self, paths: str | Path | Sequence[str | Path], **options: Any) -> AddedImages:
        """Files and folders into the store; see `mmgen.library.image_library.ImageLibrary.add`."""
        return self.gallery.add(paths, **options)

    @keywords(picture="image")
    def __call__(
        self,
        text: str = "",
        *,
        image: str | Path | Image | None = None,
        k: int = 5,
        where: Sequence[str] | Mapping[str, Scalar] = (),
        weight: float = 0.5,
        request: Request | None = None,
    ) -> list[ImageHit]:
        """The images that fit best, the best first.

        text: what they should show; its words are also looked for in captions.
        image: a file, or an opened image, that they should be like.
        k: how many.
        where: metadata filters, such as year>=2020.
        weight: the text's part, 0 to 1, where both are given.

        Raises BadRequest for a value out of its range, NotFound for a store without images.
        """
        seen = None if image is None else image_io.read(image)
        return self.gallery.search(text, seen, k=k, where=where, weight=weight, request=request)

    def close(self) -> None:
        self.library.close()
