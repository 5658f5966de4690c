"""Qwen-Image-Edit edits as its pipeline does, alone and in a batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_controls
import tiny_dit
import torch
from control_rows import NEARLY, assert_equal_alone, drawn
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.pipelines.image.rows import started
from mmgen.runtime import Runtime

SIDE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Image.Image]:
    """The pipeline, its folder, and a photo."""
    root = tmp_path_factory.mktemp("qwen-edit")
    pipeline = tiny_dit.make("qwen_image_edit", root)
    return pipeline, root, Image.open(tiny_controls.photo(root / "photo.png", (SIDE, SIDE)))


def row(rt: Runtime, folder: Path, photo: Image.Image, **options: Any) -> ImageParams:
    asked = {"prompt": "w1 w2", "steps": 2, "seed": 4, "guidance": 3.0, "width": SIDE, "height": SIDE, "negative": "w3"}
    client = rt.denoiser(str(folder))
    return client.resolved(started(ImageParams(**asked | options), client, photo, None))


def test_draws_what_its_pipeline_draws(
    studio: Runtime, made: tuple[Any, Path, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which sees the image in about a million pixels, but for here."""
    monkeypatch.setattr(pipeline_qwenimage_edit, "calculate_dimensions", lambda area, ratio: (SIDE, SIDE, None))
    pipeline, folder, photo = made
    out = pipeline(
        photo, "w1 w2", negative_prompt="w3", true_cfg_scale=3.0, num_inference_steps=2, height=SIDE, width=SIDE,
        generator=torch.Generator().manual_seed(4), output_type="np",
    )  # fmt: skip
    (found,) = drawn(studio, folder, row(studio, folder, photo))
    assert np.abs(found - out.images[0]).max() <= NEARLY
    (other,) = drawn(studio, folder, row(studio, folder, photo.rotate(90)))
    assert np.abs(found - other).max() > 2 * NEARLY


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The pipeline of 2509, and its folder."""
    root = tmp_path_factory.mktemp("qwen-edit-plus")
    return tiny_dit.make("qwen_image_edit_plus", root), root


def test_of_2509_draws_what_its_pipeline_draws(
    studio: Runtime, plus: tuple[Any, Path], made: tuple[Any, Path, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one image and of several, each in its own ratio; rows of both kinds at once are what they are alone."""

    def dimensions(area: int, ratio: float) -> tuple[int, int]:
        side = 24 if area == pipeline_qwenimage_edit_plus.CONDITION_IMAGE_SIZE else SIDE
        return (side, side) if ratio == 1 else (2 * side, side)

    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "calculate_dimensions", dimensions)
    (pipeline, folder), photo = plus, made[2]
    wide = Image.fromarray(np.tile(np.asarray(photo.rotate(90)), (1, 2, 1)))
    further = [photo.rotate(180), wide]
    rows = [row(studio, folder, photo, guidance=1.0), row(studio, folder, photo, reference_image=further)]
    found = drawn(studio, folder, *rows)
    for images, scale, ours in ([photo], 1.0, found[0]), ([photo, *further], 3.0, found[1]):
        out = pipeline(
            images, "w1 w2", negative_prompt="w3", true_cfg_scale=scale, num_inference_steps=2, height=SIDE, width=SIDE,
            generator=torch.Generator().manual_seed(4), output_type="np",
        )  # fmt: skip
        assert np.abs(ours - out.images[0]).max() <= NEARLY
    assert np.array_equal(drawn(studio, folder, rows[1])[0], found[1])
    assert np.abs(drawn(studio, folder, replace(rows[1], references=rows[1].references[:1]))[0] - found[1]).max() > NEARLY


def test_further_images_have_the_drawn_size_in_their_own_ratio(
    studio: Runtime, plus: tuple[Any, Path], made: tuple[Any, Path, Image.Image]
) -> None:
    _, folder = plus
    params = row(studio, folder, made[2], width=128, height=128, reference_image=Image.new("RGB", (200, 100)))
    assert [tuple(one.shape) for one in params.references] == [(3, 96, 192)]
    model = studio.denoiser(str(folder)).model  # type: ignore[attr-defined]
    told = Conditioning(image=torch.zeros(1, 4, 4), references=(torch.zeros(1, 8, 4),))
    assert model.reference_bytes(told) > model.reference_bytes(replace(told, references=())) == 0


def test_another_model_refuses_further_images(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    with pytest.raises(BadRequest, match="reads one image; leave reference_image out, or take Qwen-Image-Edit-2509"):
        row(studio, made[1], made[2], reference_image=made[2])
    with pytest.raises(BadRequest, match="9 reference images; give 8 at most"):
        ImageParams(reference_image=["a.png"] * 9)


def test_rows_share_their_passes(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    _, folder, photo = made
    rows = [
        row(studio, folder, photo),
        row(studio, folder, photo.rotate(90), seed=5, guidance=1.0, steps=3),
        row(studio, folder, photo, prompt="w1 w2 w3 w4", negative=""),
    ]
    assert_equal_alone(studio, folder, rows)
