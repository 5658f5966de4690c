"""What a caller of an image-labelling pipeline can get wrong, and probabilities. Knows numbers and words; no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmgen.errors import BadRequest

MOST = 10_000


@dataclass(frozen=True)
class LabelScore:
    """A label and how well it fits."""

    label: str
    probability: float  # 0 to 1
    logit: float  # what the model gave


def checked(given: str | Sequence[str]) -> list[str]:
    """Stripped; parts of a text are parted by commas. Raises BadRequest for an empty or a repeated one, or too many."""
    labels = [label.strip() for one in ([given] if isinstance(given, str) else given) for label in _parts(one)]
    if not labels:
        raise BadRequest("there are no labels; give some to choose from, such as cat,dog,car")
    if "" in labels:
        raise BadRequest(f"label {labels.index('') + 1} of {len(labels)} is empty; take the comma out")
    if len(labels) > MOST:
        raise BadRequest(f"there are {len(labels):,} labels; {MOST:,} can be compared at once")
    seen: set[str] = set()
    for label in labels:
        if label.lower() in seen:
            raise BadRequest(f'label "{label}" is there twice; give every label once')
        seen.add(label.lower())
    return labels


def ranked(labels: Sequence[str], logits: np.ndarray, independent: bool) -> list[LabelScore]:
    """Best first. Logits (labels,): each by itself to a probability (sigmoid), or all of them to 1 (softmax)."""
    logits = logits.astype(np.float64)
    if independent:
        shares = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    else:
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
    order = np.argsort(-logits, kind="stable")
    return [LabelScore(labels[n], float(shares[n]), float(logits[n])) for n in order]


def _parts(given: str) -> list[str]:
    if not isinstance(given, str):
        raise BadRequest(f"a label is {given!r}; labels are texts")
    return given.split(",") if given.strip() else []
