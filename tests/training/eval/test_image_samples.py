"""Samples are drawn as a user's images are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from emoji_folder import drawings, images  # noqa: F401  fixtures
from PIL import Image

from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.eval import image_samples

# ruff: noqa: F811


@pytest.fixture(scope="module")
def model(pixel_model: Path) -> DenoiserModel:
    return DenoiserModel.load(pixel_model)


def test_prompts_show_what_training_does_and_what_it_does_not(images: EmojiImages) -> None:
    texts = image_samples.prompts(images)
    assert len(set(texts)) == 12 and texts == image_samples.prompts(images)
    assert set(texts[:6]) <= set(images.names) and " of " in texts[6] and texts[-1].endswith(" background")


def test_the_image_that_a_user_gets(model: DenoiserModel, pixel_model: Path, studio: Runtime) -> None:
    drawn = image_samples.draw(model, ["a cat", "a dog"], seeds=(7,))
    user = Txt2Img(studio, model=str(pixel_model))("a dog", seed=7)
    theirs = torch.from_numpy(np.array(user.images[0])).permute(2, 0, 1) / 127.5 - 1
    assert drawn.shape == (2, 3, 16, 16) and (drawn[1] - theirs).abs().max() / 2 <= 1 / 255
    assert (drawn[0] - drawn[1]).abs().max() > 0.02


def test_what_is_no_number_is_grey(pixel_model: Path) -> None:
    broken = DenoiserModel.load(pixel_model)
    broken.unet.conv_out.bias.fill_(float("nan"))
    assert not image_samples.draw(broken, ["a cat"], seeds=(0,)).any()


def test_a_grid(model: DenoiserModel, tmp_path: Path) -> None:
    image_samples.write(model, ["a cat", "a dog with a name that goes on and on", "a cow"], tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (4 * image_samples.CELL, 2 * (image_samples.CELL + image_samples.LINE))
        pixels = np.asarray(sheet)
    assert (
        pixels[image_samples.CELL + image_samples.LINE :, 2 * image_samples.CELL :] == 255
    ).all()  # three prompts, six images
    line = pixels[image_samples.CELL : image_samples.CELL + image_samples.LINE, : image_samples.CELL]
    assert line.min() < 64 and (line[:, -2:] == 255).all()
