from pathlib import Path

import numpy as np
import pytest
import torch
from emoji_folder import drawings  # noqa: F401  a fixture

from mmgen.errors import BadRequest, NotFound
from mmgen.training.data.emoji_images import COLOURS
from mmgen.training.data.synthetic_captions import LAYOUTS, Mix
from mmgen.training.data.synthetic_pairs import COLOURED, SyntheticPairs, SyntheticPairsRecipe

# ruff: noqa: F811
RECIPE = SyntheticPairsRecipe(held_out=("twemoji",), leave_out=(), pool=400)


@pytest.fixture(scope="module")
def pairs(drawings: Path) -> SyntheticPairs:
    return SyntheticPairs(drawings, RECIPE)


def test_the_held_out_vendor_is_never_drawn(pairs: SyntheticPairs) -> None:
    assert pairs.images.vendors == ("noto",)
    assert pairs.held_out.pixels.shape == (36, 3, 64, 64) and len(set(pairs.held_out.captions)) == 36
    assert pairs.held_out.pixels.amax() == 1.0 > pairs.held_out.pixels.amin() >= -1.0


def test_with_nobody_held_out_all_are_learned_and_the_last_is_measured(drawings: Path, pairs: SyntheticPairs) -> None:
    every = SyntheticPairs(drawings, SyntheticPairsRecipe(held_out=(), leave_out=(), pool=40))
    assert every.images.vendors == ("noto", "twemoji")
    assert torch.equal(every.held_out.pixels, pairs.held_out.pixels)


def test_batches_come_from_their_generator_alone(pairs: SyntheticPairs) -> None:
    one, again, other = (pairs.batch(np.random.default_rng(seed), 8, 5) for seed in (1, 1, 2))
    assert one.pixels.shape == (8, 3, 64, 64) and one.captions.shape == (13,) and one.same.shape == (8, 13)
    assert one.pixels.amin() >= -1 and one.pixels.amax() <= 1 and one.same.diagonal().all()
    assert torch.equal(one.pixels, again.pixels) and torch.equal(one.captions, again.captions)
    assert not torch.equal(one.pixels, other.pixels)


def test_captions_are_true_of_what_is_drawn(pairs: SyntheticPairs) -> None:
    """Of single things: the same name, in whatever words; but not on another background than the caption says."""
    shown = pairs.batch(np.random.default_rng(0), 200, 200)
    texts = [pairs.captions[number] for number in shown.captions]
    named = {thing: n for n, thing in enumerate(pairs.images.names)}
    right = wrong = 0
    for i, mine in enumerate(texts[:200]):
        for j, other in enumerate(texts):
            if mine in named and other in named:  # both plain names
                assert bool(shown.same[i, j]) == (mine == other)
                right += mine == other
            behind = [colour for colour in COLOURS if f"on a {colour} background" in other]
            if mine in named and behind and other.startswith(f"{mine} on"):
                wrong += not shown.same[i, j]
    assert right > 100 and wrong > 0


def test_a_relation_is_one_however_it_is_told(drawings: Path) -> None:
    recipe = SyntheticPairsRecipe(
        held_out=("twemoji",), leave_out=(), pool=6000, mix=Mix(single=0, relation=1, count=0, style=0)
    )
    pairs = SyntheticPairs(drawings, recipe)
    pool, left, right = pairs.pool, LAYOUTS.index("left"), LAYOUTS.index("right")
    scene = {(layout, a, b): n for layout, a, b, n in zip(pool.layout, pool.a, pool.b, pairs.scenes, strict=True)}
    turned = [(n, scene[right, b, a]) for (layout, a, b), n in scene.items() if layout == left and (right, b, a) in scene]
    assert len(turned) > 20 and all(one == other for one, other in turned)
    swapped = [(n, scene[left, b, a]) for (layout, a, b), n in scene.items() if layout == left and (left, b, a) in scene]
    assert len(swapped) > 20 and all(one != other for one, other in swapped)


def test_colours_stay_where_words_tell_them() -> None:
    found = [bool(COLOURED.search(words)) for words in ("red heart", "Blue book", "a bored face", "silver medal", "greenery")]
    assert found == [True, True, False, True, False]


def test_what_cannot_be(drawings: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="held_out names all vendors"):
        SyntheticPairs(drawings, SyntheticPairsRecipe(held_out=("noto", "twemoji"), leave_out=()))
    with pytest.raises(BadRequest, match="vendor 'nobody' is not in the data set"):
        SyntheticPairs(drawings, SyntheticPairsRecipe(held_out=("nobody",), leave_out=()))
    with pytest.raises(NotFound, match=r"lacks captions\.jsonl"):
        SyntheticPairs(tmp_path, RECIPE)
