"""image-embed: images to vectors of the space that they share with texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from mmgen.deprecated import keywords
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.library.image_library import prepared
from mmgen.pipelines.image import image_io

if TYPE_CHECKING:
    import numpy as np

    from mmgen.runtime import Runtime


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """What `image-embed` returns."""

    names: list[str]  # of the files; may be empty
    vectors: np.ndarray = field(repr=False)  # (images, E) float32, unit length
    model: str

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model, "names": self.names, "vectors": self.vectors.tolist()}

    def __str__(self) -> str:
        return f"{len(self.names)} vectors of {self.vectors.shape[1]} dimensions by {self.model}; --json prints them"


@keywords(pictures="images")
def image_embed(
    rt: Runtime, images: Sequence[str | Path | Image], *, model: str | None = None, request: Request | None = None
) -> ImageEmbeddings:
    """Vectors of images, in the space of their encoder.

    images: files, or opened images.
    model: what sees: embedded:NAME, a folder or a repo id.

    Raises BadRequest where no image is given, UnreadableFile for what is none.
    """
    given = [images] if isinstance(images, str | Path | Image) else list(images)
    if not given:
        raise BadRequest("there are no images; give at least one file")
    opened = [prepared(image_io.read(image)) for image in given]
    client = rt.seeing(model)
    return ImageEmbeddings([image_io.name_of(image) for image in given], client.embed_images(opened, request), client.name)
