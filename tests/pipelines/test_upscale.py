"""upscale: sizes, transparency, what the image says afterwards, and what people get wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cli_call import Call
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

import mmgen
from mmgen.errors import BadRequest
from mmgen.models.diffusion.upscalers.compact import CompactNet
from mmgen.pipelines.upscale import upscale
from mmgen.runtime import Runtime


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """It adds nothing to the nearest pixels."""
    made = CompactNet(4, 1, 4)
    with torch.no_grad():
        made.body[-1].weight.zero_()
        made.body[-1].bias.zero_()
    save_file(made.state_dict(), tmp_path / "x4.safetensors")
    return tmp_path / "x4.safetensors"


def test_an_image_in_tiles(studio: Runtime, network: Path) -> None:
    """Beyond 128 x 128 pixels it is taken apart."""
    small = Image.fromarray(np.random.default_rng(0).integers(0, 255, (140, 210, 3), np.uint8))
    made = upscale(studio, small, model=str(network))
    assert made.image.size == (840, 560) and made.scale == 4
    assert np.abs(np.asarray(made.image, int) - np.asarray(small.resize((840, 560), Image.Resampling.NEAREST), int)).max() <= 1
    assert mmgen.pipeline("upscale", runtime=studio)(small, model=str(network), scale=1.5).image.size == (315, 210)


def test_transparency_and_recipes(studio: Runtime, network: Path, tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8")
    Image.new("RGBA", (8, 8), (255, 0, 0, 90)).save(tmp_path / "a.png", pnginfo=info)
    upscale(studio, tmp_path / "a.png", model=str(network)).save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as found:
        assert found.mode == "RGBA" and found.size == (32, 32) and found.getpixel((9, 9))[3] == 90  # type: ignore[index]
        assert found.info["parameters"].endswith("Size: 8x8, Postprocess upscale by: 4, Postprocess upscaler: x4")


def test_what_people_get_wrong(studio: Runtime, network: Path) -> None:
    with pytest.raises(BadRequest, match="scale is 0; it can be above 0 to 16"):
        upscale(studio, Image.new("RGB", (8, 8)), model=str(network), scale=0)
    with pytest.raises(BadRequest, match="the upscaled width is 160000; it can be 1 to 32768 pixels"):
        upscale(studio, Image.new("RGB", (10000, 8)), model=str(network), scale=16)


def test_the_command(call: Call, network: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg")
    called = call("upscale", tmp_path / "a.jpg", "--model", network)
    assert called.code == 0 and called.out == f"{tmp_path / 'a-upscaled.png'} (32 x 32, 4 times as large)\n"
    called = call("upscale", tmp_path / "a.jpg", "--model", network, "-o", "a.webp")
    assert called.code == 2 and "is no name of a PNG" in called.err
    called = call("upscale", tmp_path / "gone.jpg", "--model", network)
    assert called.code == 2 and "does not exist" in called.err
