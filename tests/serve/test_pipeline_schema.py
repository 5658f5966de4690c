"""A request model from a signature: what the network can give, and nothing that names a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest
from PIL.Image import Image
from pydantic import TypeAdapter, ValidationError

from mmgen.errors import BadRequest
from mmgen.pipelines import signature
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.pipelines.variations import Variations
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_schema


def served(rt: Runtime, prompt: str, kind: Literal["a", "b"] = "a", n: int = 1, lora: str | None = None) -> None: ...


def local(rt: Runtime, file: Path) -> None: ...


def test_files_are_no_fields_and_only_what_was_said_is_given() -> None:
    model = pipeline_schema.model_of(signature.read("served", served))
    assert set(model.model_json_schema()["properties"]) == {"prompt", "kind", "n"}
    assert pipeline_schema.arguments(model.model_validate({"prompt": "x", "n": 2})) == {"prompt": "x", "n": 2}
    for wrong in ({"prompt": "x", "lora": "/etc/passwd"}, {"prompt": "x", "kind": "c"}, {}):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)
    with pytest.raises(BadRequest, match="needs file, which cannot be sent over HTTP"):
        pipeline_schema.model_of(signature.read("local", local))


def test_types_that_json_can_say() -> None:
    assert pipeline_schema.network_type(Path) is None
    assert pipeline_schema.network_type(Image | Path) is pipeline_schema.EncodedImage
    assert pipeline_schema.network_type(Sequence[str]) == list[str]
    assert pipeline_schema.network_type(str | Mapping[str, float]) == dict[str, float]


def test_lists_and_objects_have_bounds() -> None:
    for kind, given in ((str | list[str], ["a"] * 20_000), (dict[str, float], dict.fromkeys(map(str, range(20_000)), 1.0))):
        adapter = TypeAdapter(pipeline_schema.bounded(kind))
        with pytest.raises(ValidationError, match=r"10,?000"):
            adapter.validate_python(given)
    assert pipeline_schema.bounded(str | None) == str | None


@pytest.mark.parametrize("pipeline", [Txt2Img, Img2Img, Inpaint, Variations])
def test_what_an_image_pipeline_is_made_with_is_a_model_or_a_file(pipeline: type) -> None:
    """One more file that it can be given is no field, either."""
    made = {one.name for one in signature.read("it", pipeline).parameters if one.stage == "make"}
    assert made - pipeline_schema.FILES == {"model"}
