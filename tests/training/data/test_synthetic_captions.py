import numpy as np
import pytest
from emoji_folder import drawings, images  # noqa: F401  fixtures

from mmgen.training.data import synthetic_captions
from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.holdout import HoldoutKeys
from mmgen.training.data.synthetic_captions import LAYOUTS, Mix, draw, plural, with_article

# ruff: noqa: F811


def test_a_pool_is_drawn_from_its_seed(images: EmojiImages) -> None:
    one, again, other = draw(images, 300), draw(images, 300), draw(images, 300, seed=1)
    assert one.captions == again.captions and (one.a == again.a).all()
    assert one.captions != other.captions


def test_captions_say_what_is_asked_for(images: EmojiImages) -> None:
    pool = draw(images, 3000, Mix(keywords=0, more_keywords=0))
    assert (pool.layout == 0).sum() > 250 and len(set(pool.captions)) == len(pool.captions)
    for n in range(len(pool)):
        text, layout = pool.captions[pool.caption[n]], LAYOUTS[pool.layout[n]]
        named = " background" in text
        assert named == (pool.background[n] >= 0)
        assert not named or f" {list(COLOURS)[pool.background[n]]} background" in text
        assert ("style" in text) == (pool.style[n] >= 0)
        assert images.names[pool.a[n]] in text and (layout in synthetic_captions.RELATIONS) == (pool.a[n] != pool.b[n])
        if layout in synthetic_captions.RELATIONS:
            assert any(words in text for words in synthetic_captions.RELATIONS[layout])
            assert text.index(images.names[pool.a[n]]) < text.index(images.names[pool.b[n]])
        assert layout not in ("two", "three", "four") or text.startswith(f"{layout} ")


def test_shares_and_chances(images: EmojiImages) -> None:
    pool = draw(images, 2000, Mix(single=1, relation=0, count=0, style=0, background=0, keywords=1))
    assert (pool.layout == 0).all() and (pool.style < 0).all() and (pool.background < 0).all()
    assert np.ptp(np.bincount(pool.a)) <= 1  # every thing as often as any other
    assert not set(pool.captions) & {with_article(name) for name in images.names}


def test_nothing_held_out_is_drawn(images: EmojiImages) -> None:
    pool, keys = draw(images, 5000, Mix(background=1)), HoldoutKeys.of(images.names)
    assert not keys.held_out(pool.layout, pool.a, pool.b, pool.background).any()


def test_one_in_ten_is_held_out_whichever_way_round() -> None:
    keys = HoldoutKeys.of([f"thing {n}" for n in range(100)])
    a, b = (m.ravel() for m in np.meshgrid(np.arange(100), np.arange(100)))
    layout, none = np.ones_like(a), np.full_like(a, -1)
    pairs = keys.held_out(layout, a, b, none)
    assert 0.08 < pairs.mean() < 0.12
    assert (pairs == keys.held_out(layout + 2, b, a, none)).all()
    assert not keys.held_out(layout * 0, a, a, none).any()
    assert keys.held_out(layout * 6, a, a, none).any() and not keys.held_out(layout * 6, a, a, none).all()


@pytest.mark.parametrize(("name", "many"), [
    ("dog face", "dog faces"), ("face with open mouth", "faces with open mouth"), ("grapes", "grapes"),
    ("mouse", "mice"), ("fox", "foxes"), ("cherry", "cherries"), ("monkey", "monkeys"), ("compass", "compasses"),
    ("octopus", "octopuses"),
])  # fmt: skip
def test_plurals(name: str, many: str) -> None:
    assert plural(name) == many


@pytest.mark.parametrize(("name", "text"), [
    ("apple", "an apple"), ("unicorn", "a unicorn"), ("grapes", "grapes"), ("Santa Claus", "Santa Claus"),
    ("smiling face with hearts", "a smiling face with hearts"), ("8ball", "8ball"),
])  # fmt: skip
def test_articles(name: str, text: str) -> None:
    assert with_article(name) == text
