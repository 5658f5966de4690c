"""Compositional accuracy of generated images: objects, count, spatial relation and background, against the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.scene_renderer import CENTRES, Augment, SceneRenderer
from mmgen.training.data.synthetic_captions import KINDS, LAYOUTS
from mmgen.training.eval.eval_prompts import EvalPrompt
from mmgen.training.eval.reference_images import Eye, ReferenceImages

COUNTS = {0: 1, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 3, 7: 4}  # layout -> things seen


class Composition:
    """Measures images of any side. Its own error rate is measured on rendered ground truth."""

    def __init__(self, eye: Eye, images: EmojiImages, prompts: Sequence[EvalPrompt]) -> None:
        """The things of `prompts` are the candidates that an object is told from."""
        self.eye = eye
        things = sorted({thing for p in prompts for thing in (p.a, p.b) if thing >= 0})
        self.things = torch.tensor(things)
        self.gallery = ReferenceImages.of(eye, images, things)
        self.templates = templates(images, things)

    @torch.inference_mode()
    def measure(self, images: Tensor, prompts: Sequence[EvalPrompt]) -> dict[str, float]:
        """(B, 3, S, S) in [-1, 1] for B prompts -> accuracies from 0 to 1, each over the prompts that ask for it.

        object: the share of places whose thing is the nearest of all candidates; relation: the first thing is likelier
        where it was asked for than the second, and the other way round; count and background: exactly the one asked for.
        """
        colour, seen = background(images), self.layouts(images)
        hits: dict[str, list[float]] = {name: [] for name in ("object", "relation", "count", "background")}
        for image, prompt, shown, behind in zip(images, prompts, seen.tolist(), colour.tolist(), strict=True):
            scores = self._places(image, prompt.layout)  # (places, candidates)
            wanted = [self._number(prompt.a)] * len(scores)
            if LAYOUTS[prompt.layout] in KINDS_OF_TWO:
                wanted[1] = self._number(prompt.b)
                (aa, ab), (ba, bb) = scores[:, wanted].tolist()
                hits["relation"].append(float(aa > ab and bb > ba))
            hits["object"].append(float((scores.argmax(1) == torch.tensor(wanted)).float().mean()))
            hits["background"].append(float(behind == max(prompt.background, 0)))
            if prompt.layout in KINDS["count"]:
                hits["count"].append(float(COUNTS[shown] == COUNTS[prompt.layout]))
        return {name: float(np.mean(values)) for name, values in hits.items() if values}

    def _number(self, thing: int) -> int:
        return int((self.things == thing).nonzero()[0, 0])

    def _places(self, image: Tensor, layout: int) -> Tensor:
        side = image.shape[-1]
        width = side if layout == 0 else side // 2
        corners = [(round(x * side - width / 2), round(y * side - width / 2)) for x, y in CENTRES[layout] if x >= 0]
        crops = torch.stack([image[:, y : y + width, x : x + width] for x, y in corners])
        return self.gallery.scores(self.eye(crops), self.things)

    def layouts(self, images: Tensor) -> Tensor:
        """(B,) the layout whose mean silhouette is most like the image's (cosine)."""
        shape = _silhouette(images).flatten(1)
        return (F.normalize(shape, dim=1) @ F.normalize(self.templates.flatten(1), dim=1).T).argmax(1)


KINDS_OF_TWO = [LAYOUTS[n] for n in KINDS["relation"]]


def background(images: Tensor) -> Tensor:
    """(B,) the colour of most of the pixels along the image's edge."""
    return _nearest(_edge(images)).mode(dim=1).values


def _edge(images: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 4S, 3)"""
    lines = (images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1])
    return torch.cat(lines, dim=2).transpose(1, 2)


def _nearest(pixels: Tensor) -> Tensor:
    colours = torch.tensor(list(COLOURS.values()), dtype=torch.float32) / 127.5 - 1
    return torch.cdist(pixels, colours[None].expand(len(pixels), -1, -1)).argmin(-1)


def _silhouette(images: Tensor, cells: int = 16) -> Tensor:
    """(B, 3, S, S) -> (B, 16, 16): the share of each cell that differs from the background."""
    edge = _edge(images)
    chosen = _nearest(edge) == background(images)[:, None]  # (B, 4S)
    behind = (edge * chosen[..., None]).sum(1) / chosen.sum(1, keepdim=True)  # (B, 3)
    differs = (images - behind[:, :, None, None]).norm(dim=1, keepdim=True) > 0.3
    return F.adaptive_avg_pool2d(differs.float(), cells)[:, 0]


def templates(images: EmojiImages, things: Sequence[int]) -> Tensor:
    """(layouts, 16, 16): mean silhouettes of the things in every layout."""
    painter = SceneRenderer(images, augment=Augment(scale=0))
    out = []
    for layout in range(len(LAYOUTS)):
        a, rng = np.array(things), np.random.default_rng(layout)
        b = np.roll(a, 1) if layout in KINDS["relation"] else a
        free = np.full(len(a), -1)
        out.append(_silhouette(painter.draw(np.full(len(a), layout), a, b, free, free, rng)).mean(0))
    return torch.stack(out)
