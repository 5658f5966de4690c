"""Hires fix: the same as drawing, resizing and drawing from that image; sizes, steps, recipes, and what does not go with it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmgen.clients import hires
from mmgen.clients.image_base import ImageDone
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.image_events import Progress
from mmgen.image_params import HiresFix, ImageParams
from mmgen.models.diffusion.upscalers.compact import CompactNet
from mmgen.pipelines.image import infotext, recipe
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 4, "seed": 7}


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Path]:
    torch.manual_seed(0)
    save_file(CompactNet(4, 1, 4).state_dict(), tmp_path / "x4.safetensors")
    yield tmp_path / "x4.safetensors"


def pixels(rt: Runtime, params: ImageParams) -> torch.Tensor:
    client = rt.denoiser()
    (done,) = [one for one in client.draw([client.resolved(params)], Request.new()) if isinstance(one, ImageDone)]
    return done.pixels


def test_what_it_is(studio: Runtime) -> None:
    asked = ImageParams(prompt="a cat", hires="2x@0.5", **FEW)
    first = pixels(studio, replace(asked, hires=None))
    begun = replace(asked, hires=None, width=32, height=32, strength=0.5, pixels=hires.resized(first, (32, 32)))
    assert torch.equal(pixels(studio, asked), pixels(studio, begun))


def test_sizes_steps_and_recipes(studio: Runtime, tmp_path: Path) -> None:
    draw = Txt2Img(studio)
    *events, last = draw.stream(["a cat", "a dog"], hires="1.5@0.5", **FEW)
    steps = [event.value for event in events if event.kind == "step" and event.value.image == 1]
    assert steps == [Progress(1, n, 6) for n in range(1, 7)] and [one.size for one in last.value.images] == [(24, 24)] * 2
    alone = draw("a dog", hires="1.5x@0.5", steps=4, seed=8)
    assert alone.images[0].tobytes() == last.value.images[1].tobytes()
    made = alone.recipes[0]
    assert (made.width, made.height, made.hires) == (16, 16, "1.5x@0.5")  # type: ignore[attr-defined]
    said = infotext.parse(made.parameters())
    assert said.settings["Hires upscale"] == "1.5" and infotext.options(said)[0]["hires"] == "1.5x@0.5"
    recipe.save(alone.images[0], made, tmp_path / "a.png")
    assert reproduce(studio, tmp_path / "a.png").equal


def test_an_upscaler(studio: Runtime, network: Path, tmp_path: Path) -> None:
    """Makes the finished image larger, or stands between the two drawings."""
    plain, larger = (Txt2Img(studio, upscaler=one)("a cat", **FEW) for one in (None, str(network)))
    assert larger.images[0].size == (64, 64) and larger.recipes[0].upscaler is not None and larger.recipes[0].width == 16
    enlarged = studio.upscaler(str(network)).upscale(pixels(studio, ImageParams(prompt="a cat", **FEW)))
    assert np.abs(np.asarray(larger.images[0], float) - ((enlarged + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 1
    recipe.save(larger.images[0], larger.recipes[0], tmp_path / "a.png")
    assert reproduce(studio, tmp_path / "a.png").equal and plain.recipes[0].upscaler is None
    both = [Txt2Img(studio, upscaler=one)("a cat", hires="2x@0.3", **FEW).images[0] for one in (None, str(network))]
    assert [one.size for one in both] == [(32, 32)] * 2 and both[0].tobytes() != both[1].tobytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2y", "hires is '2y'; write SCALE@STRENGTH, such as 2x@0.5"),
        ("1x@0.5", "the scale of hires is 1.0; it can be above 1 to 4"),
        ("9", "the scale of hires is 9.0"),
        ("2x@0", "the strength of hires is 0.0; it can be above 0 to 1"),
    ],
)
def test_what_is_no_hires_fix(text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        ImageParams(hires=text)
    assert HiresFix.read(" 2x @ .4 ") == HiresFix(2, 0.4) and HiresFix.read("1.5") == HiresFix(1.5, 0.5)


def test_what_does_not_go_with_it(studio: Runtime) -> None:
    image, mask = Image.new("RGB", (16, 16)), Image.new("L", (16, 16), 255)
    with pytest.raises(BadRequest, match="a mask leaves parts of it; leave one of them out"):
        Inpaint(studio)(image, mask, "a cat", hires="2x", **FEW)
    with pytest.raises(BadRequest, match=r"width is 192 pixels; .* draws 4 to 128"):
        Txt2Img(studio)("a cat", width=64, height=64, hires="3x", **FEW)
    with pytest.raises(BadRequest, match=r"strength 0.1 of 4 steps leaves none to run"):
        Txt2Img(studio)("a cat", hires="2x@0.1", **FEW)
