"""FLUX.1 Kontext edits as its pipeline does, alone and in a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_controls
import tiny_dit
import torch
from control_rows import NEARLY, assert_equal_alone, drawn
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.pipelines.edit import Edit
from mmgen.pipelines.image.rows import started
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

SIDE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Image.Image]:
    """The pipeline, its folder, and a photo."""
    root = tmp_path_factory.mktemp("kontext")
    pipeline = tiny_dit.make("flux_kontext", root)
    return pipeline, root, Image.open(tiny_controls.photo(root / "photo.png", (SIDE, SIDE)))


def row(rt: Runtime, folder: Path, photo: Image.Image, **options: Any) -> ImageParams:
    asked = {"prompt": "a red cat", "steps": 3, "seed": 4, "guidance": 3.0, "width": SIDE, "height": SIDE}
    client = rt.denoiser(str(folder))
    return client.resolved(started(ImageParams(**asked | options), client, photo, None))


def test_draws_what_its_pipeline_draws(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    pipeline, folder, photo = made
    out = pipeline(
        photo, "a red cat", num_inference_steps=3, guidance_scale=3.0, height=SIDE, width=SIDE, max_area=SIDE * SIDE,
        _auto_resize=False, generator=torch.Generator().manual_seed(4), output_type="np",
    )  # fmt: skip
    (found,) = drawn(studio, folder, row(studio, folder, photo))
    assert np.abs(found - out.images[0]).max() <= NEARLY
    (other,) = drawn(studio, folder, row(studio, folder, photo.rotate(90)))
    assert np.abs(found - other).max() > 2 * NEARLY


def test_rows_share_their_passes(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    """Those with images of one size; another size, another prompt's length and a step cache beside them."""
    _, folder, photo = made
    rows = [
        row(studio, folder, photo),
        row(studio, folder, photo.rotate(90), seed=5, guidance=2.0, steps=4),
        row(studio, folder, photo, width=16, height=16),
        row(studio, folder, photo, prompt="a blue car with two green stars"),
        row(studio, folder, photo, step_cache=0.5),
    ]
    assert_equal_alone(studio, folder, rows)


def test_what_does_not_go_together(studio: Runtime, made: tuple[Any, Path, Image.Image]) -> None:
    _, folder, photo = made
    with pytest.raises(BadRequest, match="edits images by instruction; use `mmgen edit`"):
        Txt2Img(studio, model=str(folder))("a red cat", steps=1)
    with pytest.raises(BadRequest, match="takes no image guidance; leave it out"):
        Edit(studio, model=str(folder))(photo, "a red cat", image_guidance=2.0)
