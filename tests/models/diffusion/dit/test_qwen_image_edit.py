"""Qwen-Image-Edit edits as its pipeline does, alone and in a batch."""

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

from mmgen.image_params import ImageParams
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


def test_of_2509_draws_what_its_pipeline_draws(
    studio: Runtime, tmp_path: Path, made: tuple[Any, Path, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = {pipeline_qwenimage_edit_plus.CONDITION_IMAGE_SIZE: 24}
    monkeypatch.setattr(
        pipeline_qwenimage_edit_plus, "calculate_dimensions", lambda area, ratio: (sides.get(area, SIDE), sides.get(area, SIDE))
    )
    pipeline, photo = tiny_dit.make("qwen_image_edit_plus", tmp_path), made[2]
    out = pipeline(
        photo, "w1 w2", negative_prompt="w3", true_cfg_scale=3.0, num_inference_steps=2, height=SIDE, width=SIDE,
        generator=torch.Generator().manual_seed(4), output_type="np",
    )  # fmt: skip
    rows = [row(studio, tmp_path, photo), row(studio, tmp_path, photo.rotate(90), seed=5, steps=3)]
    found, other = drawn(studio, tmp_path, *rows)
    assert np.abs(found - out.images[0]).max() <= NEARLY
    assert np.array_equal(drawn(studio, tmp_path, rows[1])[0], other)


def test_rows_share_their_passes(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    _, folder, photo = made
    rows = [
        row(studio, folder, photo),
        row(studio, folder, photo.rotate(90), seed=5, guidance=1.0, steps=3),
        row(studio, folder, photo, prompt="w1 w2 w3 w4", negative=""),
    ]
    assert_equal_alone(studio, folder, rows)
