"""Signatures of the image pipelines: what can be given by position, and the tasks' own defaults."""

import inspect

import pytest

from mmgen.pipelines import signature
from mmgen.pipelines.image.image_pipeline import ImagePipeline
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.pipelines.variations import Variations


@pytest.mark.parametrize(
    ("pipeline", "required", "absent"),
    [
        (Txt2Img, ["prompt"], ["image", "mask", "strength"]),
        (Img2Img, ["image", "prompt"], ["mask", "best_of"]),
        (Inpaint, ["image", "mask", "prompt"], ["best_of"]),
        (Variations, ["image"], ["mask", "best_of", "negative", "width", "height", "style"]),
    ],
)
def test_what_a_call_takes(pipeline: type[ImagePipeline], required: list[str], absent: list[str]) -> None:
    parameters = inspect.signature(pipeline.__call__).parameters
    assert [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD] == required
    assert not set(absent) & set(parameters) and list(parameters)[-1] == "request"
    assert all(one.help for one in signature.read(pipeline.task, pipeline).parameters)


def test_defaults_are_the_tasks_own() -> None:
    found = {made: {one.name: one.default for one in signature.read("x", made).parameters} for made in (Img2Img, Variations)}
    assert found[Img2Img]["strength"] == 0.6 and found[Img2Img]["n"] == 1
    assert (found[Variations]["strength"], found[Variations]["n"], found[Variations]["prompt"]) == (0.7, 4, None)


def test_what_no_call_takes(studio: object) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Txt2Img(studio)("a cat", colour="red")  # type: ignore[arg-type]
