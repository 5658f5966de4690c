"""Parameters that other tools wrote, in PNG and in EXIF."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmgen.errors import BadRequest
from mmgen.image_params import solver_of
from mmgen.pipelines.image import infotext

TEXT = """a harbour, (blue coat:1.2), <lora:oil:0.7>
at dusk
Negative prompt: blurry,
text
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 12, Size: 64x48, Model: "a, b: c", Hires upscale: 2, Version: v1.9"""


def opened(kind: str) -> Image.Image:
    image, file, said, exif = Image.new("RGB", (8, 8)), io.BytesIO(), PngInfo(), Image.Exif()
    said.add_text("parameters", TEXT)
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + TEXT.encode("utf-16-le" if kind == "WEBP" else "utf-16-be")
    image.save(file, kind, **({"pnginfo": said} if kind == "PNG" else {"exif": exif}))
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_is_said(kind: str) -> None:
    found = infotext.of(opened(kind))
    assert found is not None and found.tool == "A1111 v1.9"
    assert found.prompt == "a harbour, (blue coat:1.2), <lora:oil:0.7>\nat dusk" and found.negative == "blurry,\ntext"
    assert found.settings["Model"] == "a, b: c" and next(iter(found.settings)) == "Steps"


def test_options_and_what_is_not_followed() -> None:
    options, told = infotext.options(infotext.parse(TEXT))
    assert (options["solver"], options["steps"], options["guidance"], options["seed"]) == ("dpm++2m-karras", 28, 6.5, 12)
    assert (options["width"], options["height"]) == (64, 48)
    assert options["hires"] == "2x@0.5" and "noise was drawn by another program" in told[-1]
    _, told = infotext.options(infotext.parse("x\nSteps: 2, Sampler: DPM fast, Schedule type: Beta, Seed: 1"))
    assert told[0] == "sampler DPM fast Beta is not here, so the model's usual one draws"
    with pytest.raises(BadRequest, match="Steps of the image's parameters is 'many'; it should be a number"):
        infotext.options(infotext.parse("x\nSteps: many, Sampler: Euler, Seed: 1"))


def test_images_that_say_nothing_of_it() -> None:
    image = Image.new("RGB", (8, 8))
    assert infotext.of(image) is None and infotext.other_tool(image) == ""
    image.info["workflow"] = "{}"
    assert infotext.other_tool(image) == "ComfyUI"
    assert infotext.parse("only a prompt: with a colon, and more") == infotext.Infotext(
        "only a prompt: with a colon, and more", ""
    )


@pytest.mark.parametrize(
    ("sampler", "schedule", "ours"),
    [
        ("Euler a", "", "euler-a"), ("DPM++ 2M Karras", "", "dpm++2m-karras"), ("DPM++ 2M", "Karras", "dpm++2m-karras"),
        ("DPM++ 2M", "Automatic", "dpm++2m"),
        ("dpmpp_2m", "karras", "dpm++2m-karras"), ("euler_ancestral", "normal", "euler-a"),
        ("UniPC", "", "unipc"), ("DPM++ SDE Karras", "", "dpm++sde-karras"),
        ("Euler", "Karras", None), ("LCM", "SGM Uniform", None),
        ("DPM++ 2M SDE", "", "dpm++2m-sde"), ("dpmpp_3m_sde_gpu", "karras", "dpm++3m-sde-karras"),
        ("DPM++ 2M SDE", "Exponential", None), ("ddim", "ddim_uniform", "ddim"),
    ],
)  # fmt: skip
def test_names_of_samplers(sampler: str, schedule: str, ours: str | None) -> None:
    assert solver_of(sampler, schedule) == ours
