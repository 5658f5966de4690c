"""Several candidates for an image, and the one that an image encoder finds to show its prompt best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.clients.image_base import ImageDone
from mmgen.image_events import Preview, Progress
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.prompts import syntax

if TYPE_CHECKING:
    from mmgen.interfaces import ImageEncoder
    from mmgen.runtime import Runtime


class BestOf:
    """Chooses among `of` candidates an image, which stand one after another among the rows."""

    def __init__(self, rt: Runtime, of: int) -> None:
        self.rt, self.of = rt, of
        self.encoder: ImageEncoder = rt.image_encoder()

    def among(
        self, events: Iterator[Progress | Preview | ImageDone], rows: Sequence[ImageParams]
    ) -> Iterator[Progress | Preview | ImageDone]:
        """Progress as if an image took the steps of all its candidates, previews of the first, and the best one's ImageDone.

        An ImageDone keeps its number among the rows, by which its seed is found; the others get the image's.
        """
        steps: dict[int, dict[int, int]] = defaultdict(dict)
        drawn: dict[int, dict[int, ImageDone]] = defaultdict(dict)
        for event in events:
            image, candidate = divmod(event.index if isinstance(event, Preview) else event.image, self.of)
            if isinstance(event, Progress):
                steps[image][candidate] = event.step
                yield Progress(image, sum(steps[image].values()), self.of * event.of)
            elif isinstance(event, ImageDone):
                drawn[image][event.image] = event
                if len(drawn[image]) == self.of:
                    yield self._best(drawn.pop(image), rows)
            elif candidate == 0:
                yield replace(event, index=image)

    def _best(self, candidates: dict[int, ImageDone], rows: Sequence[ImageParams]) -> ImageDone:
        """By their numbers among the rows. Of equally good ones the first."""
        import torch

        numbers = sorted(candidates)
        images = torch.stack([candidates[number].pixels for number in numbers])
        scores = self.rt.engine.call(self.encoder.score, images, [syntax.plain(rows[number].prompt) for number in numbers])
        return candidates[numbers[int(scores.argmax())]]
