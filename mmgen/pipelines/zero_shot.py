"""zero-shot-image: which of some labels fits an image, by a model that was never trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from mmgen.deprecated import attributes, keywords
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.library.image_library import prepared
from mmgen.pipelines.image import image_io, label_scores
from mmgen.pipelines.image.label_scores import LabelScore

if TYPE_CHECKING:
    from mmgen.clients.image_encoder import ImageEncoderClient
    from mmgen.runtime import Runtime


@attributes(picture="image")
@dataclass(frozen=True)
class Judgement:
    """What `zero-shot-image` returns."""

    image: str  # its file's name; may be empty
    labels: list[LabelScore]  # best first
    independent: bool  # whether each probability stands by itself; otherwise they sum to 1 over these labels
    model: str

    @property
    def best(self) -> str:
        return self.labels[0].label

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(f"{one.probability:.3f}  {one.label}" for one in self.labels)


class ZeroShotImage:
    """Which of some labels fits an image."""

    def __init__(self, rt: Runtime, *, model: str | None = None) -> None:
        """Opens nothing yet.

        model: what sees: embedded:NAME, a folder or a repo id, of a CLIP, a SigLIP or a classifier.
        """
        self.rt, self.model = rt, model

    @keywords(picture="image")
    def __call__(
        self,
        image: str | Path | Image,
        *,
        labels: Sequence[str] = (),
        template: str = "{}",
        k: int = 0,
        request: Request | None = None,
    ) -> Judgement:
        """Judges one image.

        image: a file, or an opened image.
        labels: words to choose from, such as cat,dog,car; without them a classifier's own.
        template: a sentence around every label, such as "a photo of a {}".
        k: how many to tell, the best first; 0 for all.

        Probabilities compare these labels with each other, or, of a model with a sigmoid (SigLIP), stand each by itself.
        Raises BadRequest for labels that are missing, empty or repeated, UnreadableFile for what is no image.
        """
        return self.judge([image], labels=labels, template=template, k=k, request=request)[0]

    def judge(
        self,
        images: Sequence[str | Path | Image],
        *,
        labels: Sequence[str] = (),
        template: str = "{}",
        k: int = 0,
        request: Request | None = None,
    ) -> list[Judgement]:
        """The same of several images, with the labels embedded once."""
        wanted = _checked(labels, template, k)
        opened = [prepared(image_io.read(image)) for image in images]
        client = self.rt.seeing(self.model)
        if wanted:
            texts = client.embed_texts([template.replace("{}", label) for label in wanted], request)
            names, alone = wanted, client.independent
            logits = client.logits(client.embed_images(opened, request), texts)
        else:
            names, alone = _own(client), False
            logits = client.classify(opened, request)
        return [
            Judgement(image_io.name_of(image), _ranked(names, row, alone, k), alone, client.name)
            for image, row in zip(images, logits, strict=True)
        ]


def _checked(given: Sequence[str], template: str, k: int) -> list[str]:
    if "{}" not in template:
        raise BadRequest(f'template is {template!r}; it needs {{}} where the label goes, as in "a photo of a {{}}"')
    if isinstance(k, bool) or k < 0:
        raise BadRequest(f"k is {k}; it can be 0 (all) or more")
    return label_scores.checked(given) if given else []


def _own(client: ImageEncoderClient) -> list[str]:
    if not client.labels:
        raise BadRequest("there are no labels; give some to choose from, such as cat,dog,car")
    return list(client.labels)


def _ranked(names: Sequence[str], logits: Any, independent: bool, k: int) -> list[LabelScore]:
    found = label_scores.ranked(names, logits, independent)
    return found[:k] if k else found
