"""Training batches sampled from a pool of captions and rendered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmgen.training.data.scene_renderer import SceneRenderer
from mmgen.training.data.synthetic_captions import KINDS, CaptionPool, Mix


@dataclass
class SceneBatch:
    """One step's images and their captions."""

    images: Tensor  # (B, 3, S, S) float32 in [-1, 1]
    captions: list[str]
    caption: Tensor  # (B,) their numbers in the pool, for `states.TokenStates`
    rows: np.ndarray  # (B,) which requests of the pool


class SyntheticBatches:
    """`batch(step)` depends on the seed and the step alone, so a resumed run sees what an undisturbed one sees."""

    def __init__(
        self, painter: SceneRenderer, pool: CaptionPool, *, batch: int = 64, seed: int = 0, mix: Mix | None = None
    ) -> None:
        """`mix` gives the shares of the kinds in a batch; its probabilities were applied when the pool was made."""
        self.painter, self.pool, self.size, self.seed = painter, pool, batch, seed
        self.by_kind = [np.flatnonzero(np.isin(pool.layout, layouts)) for layouts in KINDS.values()]
        shares = (mix or Mix()).shares() * [len(rows) > 0 for rows in self.by_kind]
        self.shares = shares / shares.sum()

    def batch(self, step: int) -> SceneBatch:
        rng = np.random.default_rng([self.seed, 2, step])
        rows = np.concatenate(
            [rng.choice(own, n) for own, n in zip(self.by_kind, rng.multinomial(self.size, self.shares), strict=True) if n]
        )
        pool = self.pool
        images = self.painter.draw(pool.layout[rows], pool.a[rows], pool.b[rows], pool.style[rows], pool.background[rows], rng)
        numbers = pool.caption[rows]
        return SceneBatch(images, [pool.captions[n] for n in numbers], torch.from_numpy(numbers), rows)
