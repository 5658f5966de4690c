import numpy as np
import pytest
import torch
from emoji_folder import drawings, images  # noqa: F401  fixtures
from torch import Tensor, nn

from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.scene_renderer import Augment, SceneRenderer
from mmgen.training.eval.composition_metrics import Composition, background
from mmgen.training.eval.eval_prompts import EvalPrompt, composition_prompts

# ruff: noqa: F811


def eye(images: Tensor) -> Tensor:
    """Knows a drawing by its darkest colour, which is all that these drawings differ in."""
    darkest = images.flatten(2).amin(-1)  # (B, 3)
    return nn.functional.normalize(torch.cat((darkest, darkest**2, darkest.flip(1) * darkest), dim=1), dim=1)


@pytest.fixture(scope="module")
def prompts(images: EmojiImages) -> list[EvalPrompt]:
    return composition_prompts(images, relations=12, counts=9, backgrounds=12)


def painted(images: EmojiImages, prompts: list[EvalPrompt], side: int = 64) -> Tensor:
    layout, a, b, behind = (np.array([getattr(p, name) for p in prompts]) for name in ("layout", "a", "b", "background"))
    painter = SceneRenderer(images, side, Augment(scale=0, mirror=0))
    return painter.draw(layout, a, np.where(b < 0, a, b), np.zeros_like(a), behind, np.random.default_rng(0))


@pytest.mark.parametrize("side", [64, 32])
def test_true_scenes_are_right(images: EmojiImages, prompts: list[EvalPrompt], side: int) -> None:
    composition = Composition(eye, images, prompts)
    found = composition.measure(painted(images, prompts, side), prompts)
    assert found["count"] == found["background"] == 1.0
    assert found["relation"] > 0.6 and found["object"] > 0.3


def test_wrong_scenes_are_wrong(images: EmojiImages, prompts: list[EvalPrompt]) -> None:
    composition = Composition(eye, images, prompts)
    other = [p.__class__("", {5: 6, 6: 7, 7: 5}.get(p.layout, p.layout), p.b if p.b >= 0 else p.a, p.a) for p in prompts]
    found = composition.measure(painted(images, other), prompts)
    assert found["count"] == 0.0 and found["relation"] < 0.2
    assert found["background"] == pytest.approx(np.mean([p.background < 0 for p in prompts]))


def test_background() -> None:
    images = torch.stack([torch.full((64, 64), value / 127.5 - 1) for value in COLOURS["purple"]])[None].clone()
    images[:, :, 10:50, 0:50] = 1
    assert background(images).tolist() == [list(COLOURS).index("purple")]
