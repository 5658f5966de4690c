"""Control images from a call to its recipe and back: names of models, sizes, edges, and what cannot be used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_controls
from PIL import Image

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.image_params import ControlImage, ImageParams
from mmgen.models.diffusion.control import canny
from mmgen.pipelines.image import control_images
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def net(stable_diffusion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_controls.controlnet(tmp_path_factory.mktemp("net") / "lines", stable_diffusion)


@pytest.fixture(scope="module")
def rt(stable_diffusion: Path, net: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """`shape` is known by the configuration, `lines` lies in the home directory."""
    home = tmp_path_factory.mktemp("home")
    (home / control_images.FOLDER).mkdir()
    (home / control_images.FOLDER / "lines").symlink_to(net)
    config = RuntimeConfig(home=home, device="cpu", denoiser=str(stable_diffusion), control_models={"shape": str(net)})
    with Runtime(config) as runtime:
        yield runtime


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tiny_controls.photo(tmp_path / "photo.png", (32, 16))


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_names_of_models(rt: Runtime, net: Path, photo: Path) -> None:
    assert control_images.names(rt) == ["lines", "shape"]
    images = [
        Txt2Img(rt, control_model=given)("a cat", control=[f"{name}={photo}@0.8"], **FEW).images[0]
        for name, given in (("lines", []), ("shape", []), (str(net), []), ("mine", [f"mine={net}"]))
    ]
    assert all(same(images[0], one) for one in images)
    assert not same(images[0], Txt2Img(rt)("a cat", width=24, height=12, **FEW).images[0])
    with pytest.raises(NotFound, match=r'no control model is called line \(did you mean "lines"\?\); say which it is with'):
        Txt2Img(rt)("a cat", control=f"line={photo}", **FEW)
    with pytest.raises(BadRequest, match=r"control_model is 'canny'; write NAME=REFERENCE"):
        Txt2Img(rt, control_model=["canny"])("a cat", control=f"canny={photo}", **FEW)
    with pytest.raises(NotFound, match="is no folder here and no repo id"):
        Txt2Img(rt)("a cat", control=f"./nowhere/at/all={photo}", **FEW)


def test_the_ratio_is_the_images_and_a_change_is_told(rt: Runtime, photo: Path) -> None:
    drawn = Txt2Img(rt)("a cat", control=f"lines={photo}", **FEW)
    assert drawn.images[0].size == (24, 12)
    assert drawn.notes == ("the image of control lines is 32 x 16 pixels; it was scaled to 24 x 12",)
    assert drawn.to_dict()["notes"] == list(drawn.notes)
    square = Txt2Img(rt)("a cat", control=f"lines={photo}", width=16, height=16, **FEW)
    assert square.notes == ("the image of control lines is 32 x 16 pixels; it was cut and scaled to 16 x 16",)
    exact = Txt2Img(rt)("a cat", control=ControlImage("lines", Image.open(photo)), width=32, height=16, **FEW)
    assert exact.notes == () and "notes" not in exact.to_dict()


def test_edges_are_found_where_asked(rt: Runtime, photo: Path) -> None:
    (plain, found) = (
        control_images.sized(control_images.opened([ControlImage("lines", photo, kind=kind)], rt)[0], (32, 16)).pixels
        for kind in ("raw", "canny")
    )
    assert plain is not None and found is not None
    image = np.asarray(Image.open(photo))
    assert np.array_equal((plain.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), image)
    assert np.array_equal(found[1].numpy() * 255, canny.edges(image)) and found.shape == (3, 16, 32)


def test_a_recipe_names_the_image_by_its_digest(rt: Runtime, photo: Path, tmp_path: Path) -> None:
    drawn = Txt2Img(rt)("a cat", control=[f"lines={photo}@0.8:0-0.5", f"shape:canny={photo}"], **FEW)
    first, second = drawn.recipes[0].control
    assert (first.model, first.file, first.scale, first.end, first.kind) == ("lines", "photo.png", 0.8, 0.5, "raw")
    assert second.kind == "canny" and second.sha256 == first.sha256 and len(first.weights) == 64
    (path,) = drawn.save(tmp_path / "out.png")
    again = reproduce(rt, path)
    assert again.equal and not again.changed, str(again)
    tiny_controls.photo(photo, (32, 16), seed=5)
    changed = reproduce(rt, path)
    assert not changed.equal and "control image photo.png is another image" in str(changed)
    photo.unlink()
    with pytest.raises(NotFound, match=r"began with photo\.png, which is not beside it"):
        reproduce(rt, path)


def test_what_cannot_be_used(rt: Runtime, photo: Path, tmp_path: Path, diffusion_transformer: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:60])
    with pytest.raises(UnreadableFile, match=r"broken\.png"):
        Txt2Img(rt)("a cat", control=f"lines={broken}", **FEW)
    with pytest.raises(NotFound, match=r"image nowhere\.png does not exist"):
        Txt2Img(rt)("a cat", control="lines=nowhere.png@0.5", **FEW)
    with pytest.raises(BadRequest, match="which no control image reaches here"):
        Txt2Img(rt, model=str(diffusion_transformer))("a cat", control=f"lines={photo}", **FEW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("canny", r"control is 'canny'; write MODEL=IMAGE or MODEL=IMAGE@SCALE"),
        ("=photo.png", "write MODEL=IMAGE"),
        ("canny=photo.png@nan", "control canny: the scale is nan; it can be 0 to 10, usually up to 1"),
        ("canny=photo.png@-1", "the scale is -1.0"),
        ("canny=photo.png@1:0.5-0.5", "would act from 0.5 to 0.5 of the steps"),
        ("canny=photo.png@1:0-2", r"the end is 2.0; it can be 0 \(the first step\) to 1"),
    ],
)
def test_what_is_no_control_image(text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        ImageParams(control=[text])


def test_how_it_is_written() -> None:
    read = ControlImage.read
    assert read("canny=photo.png@0.8:0.1-.5") == ControlImage("canny", Path("photo.png"), 0.8, 0.1, 0.5, "canny")
    assert read("a/b-canny:raw=at@2x.png") == ControlImage("a/b-canny", Path("at@2x.png"), kind="raw")
    assert read("depth:canny=x=1.png").kind == "canny" and read("depth=x.png").kind == "raw"
    assert read("org/name:file.safetensors=x.png").model == "org/name:file.safetensors"
    with pytest.raises(BadRequest, match="9 images control this one; give 8 at most"):
        ImageParams(control=["a=b.png"] * 9)


def test_on_the_command_line(rt: Runtime, call: Callable[..., Any], net: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    model = str(rt.config.denoiser)
    done = call(
        "txt2img", "a cat", "--model", model, "--control", f"canny={photo}@0.5", "--control-model", f"canny={net}",
        "--steps", "1", "-o", str(out),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert out.exists() and "note: the image of control canny is 32 x 16 pixels; it was scaled to 24 x 12" in done.err
