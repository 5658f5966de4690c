"""Rows with control images, drawn together, for tests of control models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.clients.denoiser import DenoiserClient
from mmgen.clients.image_base import ImageDone
from mmgen.engine.job import Request
from mmgen.image_params import ControlImage, ImageParams
from mmgen.pipelines.image import control_images
from mmgen.runtime import Runtime

NEARLY = 1 / 255 + 1e-6
STEPS = 4


def row(rt: Runtime, base: Path, controls: Sequence[ControlImage], **options: Any) -> ImageParams:
    """A resolved row, 16 x 16."""
    inputs = tuple(control_images.sized(one, (16, 16)) for one in control_images.opened(controls, rt))
    asked = {"prompt": "a cat", "steps": STEPS, "solver": "ddim", "guidance": 3.0, "seed": 7, "width": 16, "height": 16}
    return rt.denoiser(str(base)).resolved(ImageParams(**asked | options, controls=inputs))


def drawn(rt: Runtime, base: Path, *rows: ImageParams) -> list[np.ndarray]:
    """In the same passes; (H, W, 3) in [0, 1]."""
    client = rt.denoiser(str(base))
    assert isinstance(client, DenoiserClient)
    images = {event.image: event.pixels for event in client.draw(rows, Request.new()) if isinstance(event, ImageDone)}
    return [(images[n].permute(1, 2, 0).numpy() + 1) / 2 for n in range(len(rows))]


def assert_equal_alone(rt: Runtime, base: Path, rows: Sequence[ImageParams]) -> None:
    """Every row draws the same alone as beside the others, to the bit."""
    for alone, image in zip(rows, drawn(rt, base, *rows), strict=True):
        np.testing.assert_array_equal(drawn(rt, base, alone)[0], image)


CALL: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "height": 16, "width": 16, "output_type": "np"}
"""The same as pipelines of diffusers call it."""
