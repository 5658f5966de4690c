"""A model with a network of its own that makes its images larger: 16 pixels are drawn, 64 come out, in every task."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusion_models import pixel_model  # noqa: F401  fixture
from PIL import Image
from safetensors.torch import save_file

from mmgen import weight_files
from mmgen.clients import hires
from mmgen.clients.image_base import ImageDone
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.image_events import image_of
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.upscalers.compact import CompactNet
from mmgen.models.diffusion.upscalers.palette import PaletteNet
from mmgen.pipelines.image import image_io, recipe
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime
from mmgen.serve import image_calls

# ruff: noqa: F811
FEW: dict[str, Any] = {"steps": 3, "seed": 7}


@pytest.fixture(scope="module")
def larger_model(pixel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("larger") / "model"
    shutil.copytree(pixel_model, folder)
    (folder / "super_resolution").mkdir()
    torch.manual_seed(0)
    save_file(PaletteNet(8, 1, 4).state_dict(), folder / weight_files.ENLARGER)
    return folder


@pytest.fixture(scope="module")
def rt(larger_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu", denoiser=str(larger_model))) as made:
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_larger_by_default_and_as_before_on_request(rt: Runtime, pixel_model: Path) -> None:
    draw, plain = Txt2Img(rt), Txt2Img(rt, model=str(pixel_model))
    whole, small, before = draw("a cat", **FEW), draw("a cat", width=16, height=16, **FEW), plain("a cat", **FEW)
    assert whole.images[0].size == (64, 64) and small.images[0].tobytes() == before.images[0].tobytes()
    assert small.recipes[0].weights == before.recipes[0].weights == whole.recipes[0].weights
    assert rt.denoiser().size == 64


def test_the_same_bits_alone_and_in_a_batch(rt: Runtime) -> None:
    draw = Txt2Img(rt)
    together = draw(["a cat", "a dog"], n=2, steps=3, seed=7).images
    alone = [draw(text, seed=7 + n, steps=3).images[0] for n, text in enumerate(("a cat", "a cat", "a dog", "a dog"))]
    assert [one.tobytes() for one in alone] == [one.tobytes() for one in together]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ((64, 64), (16, 16)),
        ((16, 16), (16, 16)),
        ((48, 48), (16, 16)),
        ((128, 64), (32, 16)),
        ((15, 33), (10, 24)),
        ((96, 48), (24, 12)),
    ],
)
def test_sizes(rt: Runtime, asked: tuple[int, int], first: tuple[int, int]) -> None:
    client: Any = rt.denoiser()
    assert client.model.first_size(*asked) == first
    drawn = Txt2Img(rt)("a cat", width=asked[0], height=asked[1], **FEW)
    assert drawn.images[0].size == asked and (drawn.recipes[0].super_resolution is None) == (asked == first)


def test_sizes_that_cannot_be(rt: Runtime) -> None:
    draw = Txt2Img(rt)
    with pytest.raises(BadRequest, match=r"width is 1024 pixels; .* draws 4 to 512, best at 64"):
        draw("a cat", width=1024, height=64)
    with pytest.raises(BadRequest, match="512 x 8 pixels are too narrow"):
        draw("a cat", width=512, height=8)
    assert 64 in image_calls.sides(rt.denoiser())  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="size is 4096x64; this model draws among others"):
        image_calls.check_size(rt.denoiser(), 4096, 64)


def test_previews_have_the_size_of_the_image(rt: Runtime) -> None:
    events = list(Txt2Img(rt).stream("a cat", preview_every=1, **FEW))
    assert {event.value.image.size for event in events if event.kind == "preview"} == {(64, 64)}


def test_an_image_to_begin_with(rt: Runtime, photo: Image.Image) -> None:
    """The same as the reduced image drawn at the first size, and made larger by hand."""
    client: Any = rt.denoiser()
    changed = Img2Img(rt)(photo, "a cat", strength=0.4, **FEW).images[0]
    pixels = hires.resized(image_io.colours(photo, photo.size), (16, 16))
    small = client.resolved(ImageParams(prompt="a cat", width=16, height=16, strength=0.4, pixels=pixels, **FEW))
    (done,) = [one for one in client.draw([small], Request.new()) if isinstance(one, ImageDone)]
    assert image_of(client.model.enlarger.decode(done.pixels[None])[0]).tobytes() == changed.tobytes()
    assert client.fit(300, 100) == (112, 32)


def test_inpainting_keeps_the_pixels_of_the_given_image(rt: Runtime, photo: Image.Image) -> None:
    mask = Image.new("L", photo.size)
    mask.paste(255, (20, 20, 40, 44))
    drawn = np.asarray(Inpaint(rt)(photo, mask, "a cat", **FEW).images[0])
    outside = np.asarray(mask) == 0
    assert (drawn[outside] == np.asarray(photo)[outside]).all() and (drawn[~outside] != np.asarray(photo)[~outside]).any()


def test_hires_and_an_upscaler(rt: Runtime, tmp_path: Path) -> None:
    save_file(CompactNet(4, 1, 2).state_dict(), tmp_path / "x2.safetensors")
    assert Txt2Img(rt)("a cat", hires="1.5x@0.5", **FEW).images[0].size == (96, 96)
    assert Txt2Img(rt, upscaler=str(tmp_path / "x2.safetensors"))("a cat", **FEW).images[0].size == (128, 128)


def test_recipes_name_it(rt: Runtime, larger_model: Path, tmp_path: Path) -> None:
    drawn = Txt2Img(rt)("a cat", **FEW)
    made = drawn.recipes[0]
    assert (made.width, made.height) == (64, 64) and made.super_resolution is not None
    assert made.super_resolution.file == "super_resolution/model.safetensors"
    assert made.super_resolution.sha256 == weight_files.file_digest(larger_model / weight_files.ENLARGER)
    assert f"Super-resolution: {made.super_resolution.sha256[:10]}" in made.parameters()
    recipe.save(drawn.images[0], made, tmp_path / "a.png")
    again = reproduce(rt, tmp_path / "a.png")
    assert again.equal and again.changed == ()
    recipe.save(drawn.images[0], made.model_copy(update={"super_resolution": None}), tmp_path / "b.png")
    assert "at 64 x 64 at once" in str(reproduce(rt, tmp_path / "b.png"))
    other = made.super_resolution.model_copy(update={"sha256": "0" * 64})
    recipe.save(drawn.images[0], made.model_copy(update={"super_resolution": other}), tmp_path / "c.png")
    assert "the super-resolution of" in str(reproduce(rt, tmp_path / "c.png"))
