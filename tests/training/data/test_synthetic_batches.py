import torch
from emoji_folder import drawings, images  # noqa: F401  fixtures

from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.scene_renderer import SceneRenderer
from mmgen.training.data.synthetic_batches import SyntheticBatches
from mmgen.training.data.synthetic_captions import LAYOUTS, Mix, draw

# ruff: noqa: F811


def test_a_batch_depends_on_seed_and_step_alone(images: EmojiImages) -> None:
    pool = draw(images, 500)
    scenes, resumed = (SyntheticBatches(SceneRenderer(images), pool, batch=8) for _ in range(2))
    for step in range(3):
        scenes.batch(step)
    one, again = scenes.batch(7), resumed.batch(7)
    assert torch.equal(one.images, again.images) and one.captions == again.captions
    assert not torch.equal(one.images, scenes.batch(8).images)
    assert not torch.equal(one.images, SyntheticBatches(SceneRenderer(images), pool, batch=8, seed=1).batch(7).images)


def test_a_batch_is_what_it_says(images: EmojiImages) -> None:
    pool = draw(images, 500)
    batch = SyntheticBatches(SceneRenderer(images, 32), pool, batch=16).batch(0)
    assert batch.images.shape == (16, 3, 32, 32) and batch.images.dtype == torch.float32
    assert -1 <= batch.images.min() < 0.9 and batch.images.max() <= 1
    assert batch.captions == [pool.captions[n] for n in batch.caption] == [pool.captions[pool.caption[r]] for r in batch.rows]


def test_shares_of_the_kinds(images: EmojiImages) -> None:
    pool = draw(images, 500)
    rows = SyntheticBatches(SceneRenderer(images), pool, batch=64, mix=Mix(single=0, relation=1, count=0)).batch(0).rows
    assert {LAYOUTS[layout] for layout in pool.layout[rows]} == {"left", "right", "above", "below"}
    singles = draw(images, 200, Mix(single=1, relation=0, count=0))
    assert (
        SyntheticBatches(SceneRenderer(images), singles, batch=8).batch(0).images.shape[0] == 8
    )  # nothing of the other kinds to draw
