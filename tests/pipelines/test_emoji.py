"""The shipped model: what it draws is what was said, as far as a colour tells, and diffusers reads its folder."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen import hub
from mmgen.config import RuntimeConfig
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


@pytest.fixture(scope="module")
def txt2img(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Txt2Img]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("emoji"), device="cpu")) as rt:
        yield Txt2Img(rt, model="embedded:emoji")


def test_colours_of_things_and_backgrounds(txt2img: Txt2Img) -> None:
    prompts = ["a red apple", "a cucumber", "an owl on a blue background", "four strawberries on a black background"]
    drawn = [np.asarray(one).astype(int) for one in txt2img(prompts, seed=1, steps=10).images]
    assert [image.shape for image in drawn] == [(256, 256, 3)] * 4
    apple, cucumber = (image[80:176, 80:176].reshape(-1, 3).mean(0) for image in drawn[:2])
    assert apple[0] > 150 > apple[1:].max(), "red"
    assert cucumber[1] > cucumber[0] + 20 and cucumber[1] > cucumber[2] + 20, "green"
    corners = [image[[8, 8, -9, -9], [8, -9, 8, -9]].mean(0) for image in drawn]
    assert corners[0].min() > 220 and corners[3].max() < 60, "white where no background is named, black where black is"
    assert corners[2][2] > corners[2][0] + 80, "blue"


def test_a_seed_draws_the_same_alone(txt2img: Txt2Img) -> None:
    together = txt2img(["a pizza", "a dog face"], seed=5, steps=4).images[1]
    alone = txt2img("a dog face", seed=6, steps=4).images[0]
    assert np.abs(np.asarray(together).astype(int) - np.asarray(alone).astype(int)).max() <= 1


def test_sixty_four_pixels_stay_available(txt2img: Txt2Img) -> None:
    """The large image shows the same, with slopes at its edges that interpolation has not."""
    small, large = (txt2img("a pizza", seed=5, steps=4, width=side, height=side).images[0] for side in (64, 256))
    assert small.size == (64, 64) and txt2img("a pizza", seed=5, steps=4).images[0].tobytes() == large.tobytes()
    reduced = np.asarray(large.resize((64, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(reduced - np.asarray(small)).mean() < 5
    steepest = [np.abs(np.diff(np.asarray(one).astype(int), axis=0)).max(-1) for one in (large, small.resize((256, 256)))]
    assert np.quantile(steepest[0], 0.99) > 1.5 * np.quantile(steepest[1], 0.99)


@pytest.mark.filterwarnings("ignore")
def test_diffusers_reads_it() -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(hub.resolve("embedded:emoji") / "unet")
    x, tokens, told = torch.randn(1, 12, 16, 16), torch.randn(1, 4, 384), torch.randn(1, 384)
    assert torch.isfinite(unet(x, 500, tokens, class_labels=told).sample).all()
