"""A pool of synthetic captions, each with the scene that it describes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from mmgen.config import Config
from mmgen.training.data.emoji_images import COLOURS, STYLES, EmojiImages
from mmgen.training.data.holdout import HoldoutKeys

LAYOUTS = ("single", "left", "right", "above", "below", "two", "three", "four")
KINDS = {"single": (0,), "relation": (1, 2, 3, 4), "count": (5, 6, 7)}
RELATIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
UNNAMED = -1


class Mix(Config):
    """Shares of the three kinds of captions, then probabilities of their variants."""

    single: float = Field(default=0.6, ge=0)
    relation: float = Field(default=0.25, ge=0)
    count: float = Field(default=0.15, ge=0)
    keywords: float = Field(default=0.25, ge=0, le=1)  # a single thing is called by keywords, not by its name
    more_keywords: float = Field(default=0.15, ge=0, le=1)  # or by its name and keywords
    article: float = Field(default=0.35, ge=0, le=1)
    style: float = Field(default=0.4, ge=0, le=1)  # the vendor is named
    background: float = Field(default=0.35, ge=0, le=1)  # a colour is named

    def shares(self) -> np.ndarray:
        """(3,) of single, relation, count; the sum is 1."""
        given = np.array([self.single, self.relation, self.count])
        shares: np.ndarray = given / given.sum()
        return shares


@dataclass
class CaptionPool:
    """R requests; many may share a caption. Columns are (R,) integer arrays."""

    captions: list[str]  # distinct
    caption: np.ndarray  # which caption
    layout: np.ndarray  # in LAYOUTS
    a: np.ndarray  # the first thing
    b: np.ndarray  # the second; the first again where there is one kind of thing
    style: np.ndarray  # vendor, or UNNAMED: any
    background: np.ndarray  # in COLOURS, or UNNAMED: white

    def __len__(self) -> int:
        return len(self.caption)


def draw(images: EmojiImages, size: int = 60_000, mix: Mix | None = None, seed: int = 0) -> CaptionPool:
    """About `size` requests, none of them held out (see held_out.py). The same arguments give the same pool."""
    mix = mix or Mix()
    rng = np.random.default_rng([seed, 1])
    keys = HoldoutKeys.of(images.names)
    scenic = np.flatnonzero([fits_a_scene(n, g) for n, g in zip(images.names, images.groups, strict=True)])
    kind = rng.choice(3, size, p=mix.shares() if len(scenic) > 1 else [1, 0, 0])
    layout = np.select([kind == 1, kind == 2], [rng.integers(1, 5, size), rng.integers(5, 8, size)], 0)
    a = np.resize(rng.permutation(len(images.names)), size)  # every thing as often as any other
    if len(scenic) > 1:
        a = np.where(kind == 0, a, rng.choice(scenic, size))
        b = np.where(kind == 1, rng.choice(scenic, size), a)
    else:
        b = a
    style = rng.integers(0, len(images.vendors), size)
    there = (images.table[a, style] >= 0) & (images.table[b, style] >= 0)
    style = np.where(there & (rng.random(size) < mix.style), style, UNNAMED)
    background = rng.integers(0, len(COLOURS), size)
    unseen = images.clashes[a, background] | images.clashes[b, background]
    background = np.where((rng.random(size) < mix.background) & ~unseen, background, UNNAMED)
    keep = ~keys.held_out(layout, a, b, background) & ((kind != 1) | (a != b))
    layout, a, b, style, background = (column[keep] for column in (layout, a, b, style, background))
    written = [write(images, *row, mix, rng) for row in zip(layout, a, b, style, background, strict=True)]
    captions = {text: n for n, text in enumerate(dict.fromkeys(written))}
    caption = np.array([captions[text] for text in written], dtype=np.int64)
    return CaptionPool(list(captions), caption, layout, a, b, style, background)


def write(
    images: EmojiImages, layout: int, a: int, b: int, style: int, background: int, mix: Mix, rng: np.random.Generator
) -> str:
    """A caption for one request."""
    chance, pick = rng.random(3), int(rng.integers(0, 2))
    name = plain(images.names[a])
    subject = with_article(name) if chance[0] < mix.article else name
    kind = LAYOUTS[layout]
    if kind in RELATIONS:
        other = plain(images.names[b])
        text = f"{subject} {RELATIONS[kind][pick]} {with_article(other) if chance[0] < mix.article else other}"
    elif kind == "single":
        text = subject
        if chance[1] < mix.keywords:
            text = " ".join(_some(images.keywords[a], 2 + pick, rng)) or subject
        elif chance[1] < mix.keywords + mix.more_keywords:
            new = [word for word in images.keywords[a] if word.lower() not in name.lower()]
            text = ", ".join([subject, *_some(new, 1 + pick, rng)])
    else:
        text = f"{kind} {plural(name)}"
    return text + suffix("" if style < 0 else images.vendors[style], background)


def suffix(vendor: str = "", background: int = UNNAMED) -> str:
    """ " in flat style on a blue background", or less."""
    style = f" in {STYLES.get(vendor, vendor)} style" if vendor else ""
    return style if background < 0 else f"{style} on {with_article(list(COLOURS)[background])} background"


def _some(keywords: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """The rare ones tell more: the k-th rarest is drawn with a chance of 1 / k."""
    if not keywords:
        return []
    weights = 1 / np.arange(1, len(keywords) + 1)
    count = min(count, len(keywords))
    return [plain(keywords[n]) for n in rng.choice(len(keywords), count, replace=False, p=weights / weights.sum())]


NO_NOUN = re.compile(r"\b(with|without|of|in|on|from|up|down|over|facing|thirty|high|low|medium)\b")


def fits_a_scene(name: str, group: str) -> bool:
    """Short plain names of things and animals: what can be put beside another and counted."""
    short = re.fullmatch(r"[a-z]+([ -][a-z]+){0,2}", name)
    return group not in ("symbols", "flags", "people-body") and short is not None and not NO_NOUN.search(name)


def plain(name: str) -> str:
    return name.replace("’", "'").replace("“", "").replace("”", "").replace(": ", " ")


def with_article(name: str) -> str:
    """ "an apple"; plurals and proper names stay bare."""
    last = re.split(r" with | of | in | on | and ", name)[0].split()[-1]
    if name[0].isupper() or not name[0].isalpha() or (last.endswith("s") and not last.endswith(("ss", "us"))):
        return name
    vowel = name[0] in "aeiou" and not name.startswith(("uni", "eu", "one"))
    return f"{'an' if vowel else 'a'} {name}"


IRREGULAR = {"mouse": "mice", "man": "men", "woman": "women", "person": "people", "child": "children", "goose": "geese"}
IRREGULAR |= {"tooth": "teeth", "foot": "feet", "knife": "knives", "leaf": "leaves", "loaf": "loaves", "wolf": "wolves"}
IRREGULAR |= {"potato": "potatoes", "tomato": "tomatoes", "hero": "heroes"}
IRREGULAR |= {"sheep": "sheep", "fish": "fish", "deer": "deer", "ox": "oxen", "shelf": "shelves", "scarf": "scarves"}


def plural(name: str) -> str:
    """ "dog faces", "faces with open mouth"."""
    head, *rest = re.split(r"( with | of | in | on )", name, maxsplit=1)
    *before, noun = head.split(" ")
    if noun in IRREGULAR:
        noun = IRREGULAR[noun]
    elif noun.endswith("s") and not noun.endswith(("ss", "us")):
        pass  # a plural already
    elif noun.endswith(("s", "x", "z", "ch", "sh")):
        noun += "es"
    elif re.search(r"[^aeiou]y$", noun):
        noun = noun[:-1] + "ies"
    else:
        noun += "s"
    return " ".join([*before, noun]) + "".join(rest)
