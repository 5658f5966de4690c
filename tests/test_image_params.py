"""Options of an image call: their limits, and that one more is found wherever options are taken."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_images

from mmgen import image_params
from mmgen.errors import BadRequest, MmgenError, TooLong
from mmgen.image_params import ImageParams, LoraWeight
from mmgen.models.diffusion import solvers
from mmgen.params import infos


@pytest.mark.parametrize(
    ("option", "kind", "message"),
    [
        ({"steps": 0}, BadRequest, "steps is 0; it can be 1 to 1000"),
        ({"steps": True}, BadRequest, "steps is True"),
        ({"guidance": math.nan}, BadRequest, "guidance is nan; it can be 0 or more, usually 1 to 15"),
        ({"guidance": math.inf}, BadRequest, "guidance is inf"),
        ({"guidance_rescale": 1.5}, BadRequest, "guidance_rescale is 1.5; it can be 0 to 1"),
        ({"strength": 0}, BadRequest, r"strength is 0; it can be above 0 \(close to the image\) to 1 \(far from it\)"),
        ({"strength": 1.1}, BadRequest, "strength is 1.1"),
        ({"solver": "eular"}, BadRequest, "solver is 'eular' .did you mean \"euler\"?"),
        ({"width": 0}, BadRequest, "width is 0; it can be 1 to 8192 pixels"),
        ({"seed": -2}, BadRequest, "seed is -2; it can be 0 to 9223372036854775807"),
        ({"prompt": 7}, BadRequest, "the prompt is 7; it should be a text"),
        ({"negative": "x" * 5001}, TooLong, "the negative prompt is 5,001 characters; 5,000 are read at most, shorten it"),
    ],
)
def test_a_value_out_of_its_limits(option: dict[str, Any], kind: type[MmgenError], message: str) -> None:
    with pytest.raises(kind, match=message):
        ImageParams(**option)
    with pytest.raises(kind, match=message):
        replace(ImageParams(), **option)


@pytest.mark.parametrize("scale", ["nan", "-inf", "1e30"])
def test_a_loras_scale_out_of_its_limits(scale: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(BadRequest, match=r"LoRA .*a.safetensors: the scale is .*; it can be -100 to 100, usually 0 to 1"):
        LoraWeight.read(f"{tmp_path}/a.safetensors@{scale}")


def test_what_is_none_is_the_models_choice() -> None:
    params = ImageParams(prompt="a cat")
    assert params.steps is params.guidance is params.solver is params.width is None
    with pytest.raises(AssertionError):
        _ = params.size
    assert replace(params, width=24, height=16).size == (24, 16)


def test_solvers_are_those_that_there_are() -> None:
    assert tuple(solvers.SOLVERS) == image_params.SOLVERS


def test_every_option_says_what_it_does() -> None:
    assert all(info.help.endswith(".") for info in infos(ImageParams).values())


ADDED = """
import json, sys
from dataclasses import dataclass
from mmgen import image_params
from mmgen.params import param

@dataclass(frozen=True, eq=False)
class ImageParams(image_params.ImageParams):
    sharpness: float = param(0.25, "how sharp.", least=0, most=2)

image_params.ImageParams = ImageParams  # before anything derives from it

from typer.testing import CliRunner
from apps.images import draw_tab, image_options
from mmgen.cli.main import app
from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest
from mmgen.pipelines.image.image_pipeline import ImagePipeline
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runners.denoise import DenoiseRunner
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_schema
from mmgen.serve.routes.image_schemas import ImageGenerationBody
from mmgen.pipelines import reproduce, signature

reached = set()
first = DenoiseRunner._first
DenoiseRunner._first = lambda self, job: reached.add(job.payload.params.sharpness) or first(self, job)
with Runtime(RuntimeConfig(home=sys.argv[1], device="cpu", denoiser=sys.argv[2])) as rt:
    drawn = Txt2Img(rt)("a cat", steps=2, sharpness=0.75)
    try:
        Txt2Img(rt)("a cat", sharpness=3)
    except BadRequest as error:
        refused = str(error)
form = image_options.component(next(one for one in image_options.OPTIONS if one.name == "sharpness"))
help = CliRunner().invoke(app, ["txt2img", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
body = ImageGenerationBody(prompt="a cat", sharpness=0.5)
schema = pipeline_schema.model_of(signature.read("txt2img", Txt2Img)).model_json_schema()
print(json.dumps({
    "cli": [line for line in help.splitlines() if "sharpness" in line],
    "http": ImageGenerationBody.model_json_schema()["properties"]["sharpness"],
    "given": body.given()["sharpness"],
    "pipeline": schema["properties"]["sharpness"],
    "form": [type(form).__name__, form.label, form.value],
    "recipe": drawn.recipes[0].model_dump()["sharpness"],
    "again": reproduce.params_of(drawn.recipes[0]).sharpness,
    "row": list(reached),
    "refused": refused,
}))
"""


def test_an_option_added_here_is_found_wherever_options_are_taken(tmp_path: Path) -> None:
    """In a process of its own: ImageParams gets one more field, and nothing else is told of it."""
    model = tiny_images.stable_diffusion(tmp_path / "sd")
    made = subprocess.run([sys.executable, "-c", ADDED, tmp_path / "home", model], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout.splitlines()[-1])
    assert len(found["cli"]) == 1 and "--sharpness" in found["cli"][0] and "how sharp." in found["cli"][0]
    assert "default: 0.25" in found["cli"][0]
    number = next(one for one in found["http"]["anyOf"] if one["type"] == "number")
    assert (number["minimum"], number["maximum"], found["http"]["description"]) == (0, 2, "How sharp.")
    assert found["given"] == 0.5 and found["pipeline"]["default"] == 0.25
    assert (found["pipeline"]["minimum"], found["pipeline"]["maximum"]) == (0, 2)
    assert found["form"] == ["Number", "Sharpness", 0.25]
    assert found["recipe"] == found["again"] == 0.75 and found["row"] == [0.75]
    assert found["refused"] == "sharpness is 3; it can be 0 to 2"
