import numpy as np
from emoji_folder import drawings, images  # noqa: F401  fixtures

from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.holdout import HoldoutKeys
from mmgen.training.data.synthetic_captions import draw
from mmgen.training.eval.eval_prompts import composition_prompts, retrieval_prompts

# ruff: noqa: F811


def test_composition_prompts_are_never_trained_on(images: EmojiImages) -> None:
    prompts = composition_prompts(images, relations=12, counts=4, backgrounds=20)
    assert [sum(p.layout in kind for p in prompts) for kind in ((1, 2, 3, 4), (5, 6, 7), (0,))] == [12, 4, 20]
    assert {p.layout for p in prompts} == set(range(8)) and len({p.text for p in prompts}) == len(prompts)
    row = [np.array(values) for values in zip(*((p.layout, p.a, max(p.b, 0), p.background) for p in prompts), strict=True)]
    assert HoldoutKeys.of(images.names).held_out(*row).all()
    assert not {p.text for p in prompts} & set(draw(images, 20_000).captions)


def test_prompts_say_what_they_want(images: EmojiImages) -> None:
    left = next(p for p in composition_prompts(images) if p.layout == 1)
    assert left.text == f"a {images.names[left.a]} left of a {images.names[left.b]}"
    behind = next(p for p in composition_prompts(images) if p.layout == 0)
    assert behind.text.endswith(" background") and behind.background > 0 and behind.b == -1


def test_retrieval_prompts_are_names_of_different_things(images: EmojiImages) -> None:
    prompts = retrieval_prompts(images, 20)
    assert len({p.a for p in prompts}) == 20 and prompts == retrieval_prompts(images, 20)
    assert all(p.text == images.names[p.a] for p in prompts)
    assert "left arrow" not in {p.text for p in prompts}  # not every vendor drew it
