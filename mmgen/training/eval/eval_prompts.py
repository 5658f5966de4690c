"""Fixed evaluation prompts, determined by the image set alone: no seed, no clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.holdout import HoldoutKeys, key
from mmgen.training.data.synthetic_captions import (
    LAYOUTS,
    RELATIONS,
    UNNAMED,
    fits_a_scene,
    plain,
    plural,
    suffix,
    with_article,
)


@dataclass(frozen=True)
class EvalPrompt:
    """A text, and what its image has to show."""

    text: str
    layout: int  # in LAYOUTS
    a: int  # thing
    b: int = UNNAMED  # the second thing of a relation
    background: int = UNNAMED  # in COLOURS


def retrieval_prompts(images: EmojiImages, count: int = 100) -> list[EvalPrompt]:
    """Names of different things, the groups in turn. Training sees these captions: can it draw what it was shown?"""
    by_group: dict[str, list[int]] = defaultdict(list)
    for thing in _shuffled(images, range(len(images.names))):
        if (images.table[thing] >= 0).all():
            by_group[images.groups[thing]].append(thing)
    turns = zip_longest(*(by_group[group] for group in sorted(by_group)))
    things = [thing for turn in turns for thing in turn if thing is not None]
    return [EvalPrompt(plain(images.names[thing]), 0, thing) for thing in things[:count]]


def composition_prompts(images: EmojiImages, relations: int = 80, counts: int = 60, backgrounds: int = 60) -> list[EvalPrompt]:
    """Combinations of things, counts and colours that `captions.draw` never draws. Fewer where the set is too small."""
    keys = HoldoutKeys.of(images.names)
    scenic = _shuffled(images, [n for n, name in enumerate(images.names) if fits_a_scene(name, images.groups[n])])
    out = _relations(images, keys, scenic, relations)
    for layouts, colours, most in (([5, 6, 7], [UNNAMED], counts), ([0], list(range(1, len(COLOURS))), backgrounds)):
        options = [(layout, colour) for layout in layouts for colour in colours]
        used: Counter[tuple[int, int]] = Counter()
        for thing in scenic:
            free = [o for o in options if _held_out(keys, o[0], thing, thing, o[1]) and not _unseen(images, thing, o[1])]
            if sum(used.values()) < most and free:
                layout, colour = min(free, key=lambda option: used[option])
                used[layout, colour] += 1
                out.append(EvalPrompt(_text(images, layout, thing, colour), layout, thing, background=colour))
    return out


def _relations(images: EmojiImages, keys: HoldoutKeys, scenic: list[int], most: int) -> list[EvalPrompt]:
    """Each thing at most once."""
    out: list[EvalPrompt] = []
    free = dict.fromkeys(scenic)
    for a in scenic:
        b = next((b for b in free if a in free and b != a and _held_out(keys, 1, a, b, UNNAMED)), None)
        if b is None or len(out) == most:
            continue
        del free[a], free[b]
        layout = 1 + len(out) % len(RELATIONS)
        first, second = (with_article(plain(images.names[thing])) for thing in (a, b))
        out.append(EvalPrompt(f"{first} {RELATIONS[LAYOUTS[layout]][0]} {second}", layout, a, b))
    return out


def _text(images: EmojiImages, layout: int, thing: int, colour: int) -> str:
    name = plain(images.names[thing])
    return (f"{LAYOUTS[layout]} {plural(name)}" if layout else with_article(name)) + suffix(background=colour)


def _unseen(images: EmojiImages, thing: int, colour: int) -> bool:
    return colour >= 0 and bool(images.clashes[thing, colour])


def _held_out(keys: HoldoutKeys, *row: int) -> bool:
    return bool(keys.held_out(*(np.array([value]) for value in row))[0])


def _shuffled(images: EmojiImages, things: list[int] | range) -> list[int]:
    return sorted(things, key=lambda thing: key(images.names[thing]))
