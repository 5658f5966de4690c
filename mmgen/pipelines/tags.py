"""tags: the words and captions that lie nearest to an image. They are chosen from a list, not written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from mmgen import hub, weight_files
from mmgen.config import assets_dir
from mmgen.deprecated import attributes, keywords
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.library.image_library import prepared
from mmgen.pipelines.image import image_io, word_list

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

OF_MODEL = "captions.txt"
"""In a model's folder: a caption a line, of the kind that it was trained with."""


@dataclass(frozen=True)
class Tag:
    """A caption and its cosine with the image."""

    caption: str
    similarity: float

    def __str__(self) -> str:
        return f"{self.similarity:.3f}  {self.caption}"


@attributes(picture="image")
@dataclass(frozen=True)
class Tags:
    """What `tags` returns, the nearest first."""

    image: str  # its file's name; may be empty
    tags: list[Tag]
    among: int  # captions that were compared
    model: str

    def __str__(self) -> str:
        return "\n".join(map(str, self.tags))


@keywords(picture="image")
def tags(
    rt: Runtime,
    image: str | Path | Image,
    *,
    model: str | None = None,
    among: Path | None = None,
    k: int = 10,
    request: Request | None = None,
) -> Tags:
    """The captions of a list that lie nearest to an image.

    image: a file, or an opened image.
    model: what sees: embedded:NAME, a folder or a repo id.
    among: a file with a caption on every line; without it the model's own captions, or else 10,000 English words.
    k: how many.

    Nothing is written anew: an image of what no caption of the list says gets the nearest ones all the same.
    """
    if isinstance(k, bool) or not 1 <= k <= 1000:
        raise BadRequest(f"k is {k}; it can be 1 to 1000")
    captions = None if among is None else word_list.read(Path(among))
    decoded = prepared(image_io.read(image))
    client = rt.seeing(model)
    folder = hub.resolve(client.name.partition("#")[0])
    if captions is None:
        own = folder / OF_MODEL
        captions = word_list.read(own if own.is_file() else assets_dir() / "words" / "english.txt")
    if not captions:
        raise BadRequest(f"{among or client.name} has no captions to choose from; write one on every line")
    trained = f"{client.name} {weight_files.digest(folder)}"  # a model that is trained on has other vectors
    found = word_list.vectors(rt.home, trained, captions, lambda texts: client.embed_texts(texts, request))
    cosines = found @ client.embed_images([decoded], request)[0]
    best = sorted(range(len(captions)), key=lambda n: -float(cosines[n]))[:k]
    nearest = [Tag(captions[n], round(float(cosines[n]), 4)) for n in best]
    return Tags(image_io.name_of(image), nearest, len(captions), client.name)
