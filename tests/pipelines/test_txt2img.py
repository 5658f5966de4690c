"""txt2img on tiny models: seeds, company, events, cancellation, and what callers get wrong."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, BadWeights, Cancelled, MmgenError, NotFound, TooLong
from mmgen.pipelines import signature
from mmgen.pipelines.image.image_checks import styled
from mmgen.pipelines.image.image_pipeline import Images
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 3, "seed": 7}


def furthest(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@pytest.fixture
def draw(studio: Runtime) -> Txt2Img:
    return Txt2Img(studio)


def test_a_seed_gives_the_same_image_alone_and_in_company(draw: Txt2Img) -> None:
    together = draw("a cat", n=3, **FEW)
    alone = draw("a cat", steps=3, seed=8)
    assert together.seeds == [7, 8, 9] and [image.size for image in together.images] == [(16, 16)] * 3
    assert furthest(together.images[1], alone.images[0]) <= 1
    assert furthest(together.images[0], together.images[1]) > 1
    assert str(together).startswith("3 images of 16 x 16, seed 7, 8, 9, ")


def test_without_a_seed_one_is_drawn_and_reported(draw: Txt2Img) -> None:
    first, second = draw("a cat", steps=2), draw("a cat", steps=2)
    assert first.seeds != second.seeds
    again = draw("a cat", steps=2, seed=first.seeds[0])
    assert ImageChops.difference(first.images[0], again.images[0]).getbbox() is None


@pytest.mark.parametrize(
    "option", [{"negative": "red"}, {"guidance": 1.0}, {"solver": "euler-a"}, {"steps": 4}, {"guidance_rescale": 0.7}]
)
def test_every_option_is_heard(draw: Txt2Img, option: dict[str, Any]) -> None:
    plain, other = draw("a cat", **FEW), draw("a cat", **FEW | option)
    assert furthest(plain.images[0], other.images[0]) > 1
    ((name, value),) = option.items()
    assert getattr(other.recipes[0], name) == value


def test_prompts_and_their_seeds(draw: Txt2Img) -> None:
    images = draw(["cat", " dog "], n=2, steps=2, seed=0, style="b", width=24)
    assert [one.prompt for one in images.recipes] == ["cat in b style"] * 2 + ["dog in b style"] * 2
    assert [one.seed for one in images.recipes] == images.seeds == [0, 1, 2, 3]
    assert {(one.width, one.height) for one in images.recipes} == {(24, 16)} == {one.size for one in images.images}


def test_the_style_stands_where_captions_have_it() -> None:
    assert styled("a cat", None) == "a cat" and styled("a cat", " flat ") == "a cat in flat style"
    assert styled("a cat on a blue background", "flat") == "a cat in flat style on a blue background"


@pytest.mark.parametrize("folder", ["stable_diffusion", "pixel_model"])
def test_events(folder: str, studio: Runtime, request: pytest.FixtureRequest) -> None:
    """Previews come from the decoder's own turns where decoding costs something."""
    draw = Txt2Img(studio, model=str(request.getfixturevalue(folder)))
    events = list(draw.stream("a cat", n=2, preview_every=2, steps=4, seed=1))
    kinds = [event.kind for event in events]
    assert kinds[0] == "start" and events[0].value == [1, 2] and kinds[-1] == "images"
    assert kinds.count("step") == 8 and kinds.count("preview") == 2 and kinds.count("image") == 2
    early = [event.value for event in events if event.kind == "preview"]
    assert [(one.step, one.of, one.image.size) for one in early] == [(2, 4, (16, 16))] * 2
    last: Images = events[-1].value
    finished = {event.value.index: event.value.image for event in events if event.kind == "image"}
    assert last.images == [finished[0], finished[1]] and last.timings["total"] > 0


def test_cancelled_midway(draw: Txt2Img) -> None:
    request = Request.new()
    with pytest.raises(Cancelled):
        for event in draw.stream("a cat", steps=900, request=request):
            if event.kind == "step":
                request.cancel()


def test_who_leaves_cancels(draw: Txt2Img) -> None:
    request = Request.new()
    events = draw.stream("a cat", steps=900, request=request)
    next(event for event in events if event.kind == "step")
    events.close()  # type: ignore[attr-defined]
    assert request.cancelled


async def test_asyncio(draw: Txt2Img) -> None:
    images = await draw.acall("a cat", **FEW)
    kinds = [event.kind async for event in draw.astream("a cat", **FEW)]
    assert images.seeds == [7] and kinds == ["start", "step", "step", "step", "image", "images"]
    request = Request.new()
    task = asyncio.create_task(draw.acall("a cat", steps=900, request=request))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert request.cancelled


def test_a_model_without_prompt(studio: Runtime, unconditional: Path) -> None:
    images = Txt2Img(studio, model=str(unconditional))("", **FEW)
    assert images.images[0].size == (8, 8) and images.recipes[0].guidance == 1.0


def test_a_pipeline_of_diffusers(studio: Runtime, diffusion_transformer: Path) -> None:
    draw = Txt2Img(studio, model=str(diffusion_transformer))
    events = list(draw.stream("a red cat", steps=2, seed=3, width=16, height=16))
    assert [event.kind for event in events] == ["start", "step", "step", "image", "images"]
    (made,) = events[-1].value.recipes
    assert (made.width, made.height, made.steps, made.guidance, made.solver) == (16, 16, 2, 3.5, None)
    with pytest.raises(BadRequest, match="is a AuraFlowPipeline with its own; leave it out"):
        draw("a cat", solver="ddim")


def test_a_lora_changes_its_own_calls_alone(studio: Runtime, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    layer = "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v"
    file = tmp_path / "cats.safetensors"
    save_file({f"{layer}.lora_A.weight": torch.randn(2, 16), f"{layer}.lora_B.weight": torch.randn(16, 2)}, file)
    plain = Txt2Img(studio)("a cat", **FEW)
    tuned = Txt2Img(studio, lora=f"{file}@0.5")("a cat", **FEW)
    none = Txt2Img(studio, lora=[f"{file}@0"])("a cat", **FEW)
    assert furthest(plain.images[0], tuned.images[0]) > 1 and furthest(plain.images[0], none.images[0]) == 0
    assert [(one.file, one.scale) for one in tuned.recipes[0].lora] == [(str(file), 0.5)]
    assert studio.denoiser(lora=[str(file)]).model is studio.denoiser().model  # type: ignore[attr-defined]
    with pytest.raises(NotFound, match="does not exist; give a safetensors file"):
        Txt2Img(studio, lora=["nowhere@0.5"])("a cat")
    save_file({"transformer.x.lora_A.weight": torch.zeros(1)}, file)
    with pytest.raises(BadWeights, match="names no layer of"):
        Txt2Img(studio, lora=[str(file)])("a cat")


def test_a_plot(draw: Txt2Img) -> None:
    """Cells share the seed and their passes, and are what they would be alone."""
    made = draw("a cat", x="steps=2,3", y="guidance=1,4", seed=7)
    assert [(one.steps, one.guidance, one.seed) for one in made.recipes] == [(2, 1, 7), (3, 1, 7), (2, 4, 7), (3, 4, 7)]
    assert furthest(made.images[3], draw("a cat", steps=3, guidance=4.0, seed=7).images[0]) <= 1
    assert made.axes == ("steps=2,3", "guidance=1,4") and made.sheet().width > 2 * 192
    sizes = draw("a cat", x="width=16,32", y="seed=1,2", steps=1)
    assert [image.width for image in sizes.images] == [16, 32] * 2 and sizes.seeds == [1, 1, 2, 2]
    assert len(set(draw("a cat", x="steps=1,2").seeds)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; it can be 1 to 1000"),
        ({"steps": 10**6}, "steps is 1000000; it can be 1 to 1000"),
        ({"steps": "20"}, "steps is '20'; it can be"),
        ({"guidance": float("nan")}, "guidance is nan; it can be 0 or more, usually 1 to 15"),
        ({"guidance": float("inf")}, "guidance is inf"),
        ({"guidance": -1}, "guidance is -1"),
        ({"guidance_rescale": 2}, "guidance_rescale is 2; it can be 0 to 1"),
        ({"width": -16}, "width is -16; it can be 1 to 8192 pixels"),
        ({"height": 10**9}, "height is 1000000000"),
        ({"width": 4096}, "width is 4096 pixels; .* draws 4 to 128, best at 16"),
        ({"width": 17}, "needs a multiple of 2, such as 16"),
        ({"solver": "eular"}, "solver is 'eular' .did you mean \"euler\""),
        ({"seed": -2}, "seed is -2; it can be 0 to"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"seed": 2**63 - 1, "n": 2}, "with 2 images it can be 0 to"),
        ({"n": 0}, "n is 0; it can be 1 to 1000"),
        ({"n": 10**6}, "n is 1000000"),
        ({"style": " "}, "style is ' '"),
        ({"preview_every": -1}, "preview_every is -1"),
    ],
)
def test_values_out_of_range(draw: Txt2Img, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as error:
        draw("a cat", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("prompt", "kind", "message"),
    [
        ("", BadRequest, "the prompt is empty; say .* what to draw"),
        ("  \n", BadRequest, "the prompt is empty"),
        ([], BadRequest, "there is no prompt"),
        (["a cat", ""], BadRequest, "the prompt is empty"),
        ("word " * 10_000, TooLong, "the prompt is 50,000 characters; 5,000 are read at most"),
        (["a"] * 1001, BadRequest, "1001 prompts with n 1 are 1001 images"),
        (7, BadRequest, "should be a text"),
    ],
)
def test_prompts_that_cannot_be_drawn(draw: Txt2Img, prompt: Any, kind: type[MmgenError], message: str) -> None:
    with pytest.raises(kind, match=message):
        draw([prompt] if prompt == 7 else prompt, **FEW)


def test_models_that_cannot_draw(studio: Runtime, stable_diffusion: Path, tmp_path: Path) -> None:
    def told(folder: Path | str) -> str:
        with pytest.raises((NotFound, BadWeights)) as error:
            Txt2Img(studio, model=str(folder))("a cat", **FEW)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "is no folder here and no repo id" in told("/no/where")
    broken = shutil.copytree(stable_diffusion, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "cannot be read as UNet2DConditionModel" in told(broken)
    weights.unlink()
    assert "unet holds no *.safetensors" in told(broken)
    foreign = shutil.copytree(stable_diffusion, tmp_path / "foreign")
    (foreign / "model_index.json").write_text(json.dumps({"_class_name": "WonderPipeline"}))
    assert "is of class WonderPipeline, which diffusers" in told(foreign)
    pickled = tmp_path / "pickled" / "unet"
    pickled.mkdir(parents=True)
    (pickled / "diffusion_pytorch_model.bin").write_bytes(b"\x80")
    assert "only pickled weights, which can run code when read; convert them: python -c" in told(pickled.parent)


def test_its_signature() -> None:
    described = signature.read("txt2img", Txt2Img)
    assert [parameter.name for parameter in described.parameters][:3] == ["prompt", "model", "lora"]
    assert all(parameter.help for parameter in described.parameters)
