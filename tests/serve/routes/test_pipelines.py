import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mmgen.pipelines.image import recipe
from mmgen.serve import pipeline_schema, serialization

if TYPE_CHECKING:
    from mmgen.registry import Registry


def data_url(colour: str = "red") -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def call(client: TestClient, name: str, **given: Any) -> Any:
    answer = client.post(f"/v1/pipelines/{name}", json=given)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def message(client: TestClient, status: int, name: str, **given: Any) -> str:
    answer = client.post(f"/v1/pipelines/{name}", json=given)
    assert answer.status_code == status, answer.text
    found: str = answer.json()["error"]["message"]
    return found


def test_every_pipeline_says_what_it_takes(client: TestClient) -> None:
    found = {one["id"]: one for one in client.get("/v1/pipelines").json()["data"]}
    assert {"txt2img", "rag-text", "text", "zero-shot-image", "image-search"} <= found.keys()
    parameters = found["txt2img"]["parameters"]
    assert parameters["required"] == ["prompt"] and parameters["additionalProperties"] is False
    assert parameters["properties"]["steps"]["description"].startswith("how many steps")
    assert parameters["properties"]["steps"]["default"] is None
    offered = [name for one in found.values() for name in one["parameters"]["properties"]]
    assert not {"lora", "adapter", "among"} & set(offered)


def test_a_image_comes_out_with_its_recipe(client: TestClient, pixel_model: Path) -> None:
    drawn = call(client, "txt2img", prompt="a cat", steps=2, seed=3)
    assert recipe.of(opened(drawn["images"][0]), "it").seed == 3 and drawn["seeds"] == [3]
    assert str(pixel_model) not in json.dumps({**drawn, "images": []}) and drawn["recipes"][0]["model"] == pixel_model.name


def test_a_image_goes_in(client: TestClient) -> None:
    judged = call(client, "zero-shot-image", image=data_url(), labels=["w1", "w2"])
    assert {one["label"] for one in judged["labels"]} == {"w1", "w2"}
    bare = data_url().partition(",")[2]
    assert call(client, "image-embed", images=[bare, data_url("blue")])["vectors"][1]


@pytest.mark.parametrize("image", ["/etc/passwd", "file:///etc/passwd", "../a.png", "http://127.0.0.1/", "data:,x", "a b", ""])
def test_a_image_is_never_a_path(client: TestClient, image: str) -> None:
    answer = client.post("/v1/pipelines/tags", json={"image": image})
    assert answer.status_code in (400, 403, 422)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("txt2img", {"prompt": "x", "lora": ["/etc/passwd"]}), ("text", {"prompt": "x", "adapter": "/etc"}),
        ("text", {"prompt": "x", "json_schema": "/etc/passwd.json"}), ("tags", {"image": data_url(), "among": "/etc/passwd"}),
        ("txt2img", {}), ("txt2img", {"prompt": "x", "stepz": 3}), ("txt2img", {"prompt": "x", "steps": "many"}),
        ("txt2img", {"prompt": "x", "request": {}}), ("txt2img", {"prompt": "x", "steps": 0}),
        ("rag-text", {"question": "x", "store": "../x"}), ("rag-text", {"question": "x", "store": "/etc"}),
    ],
)  # fmt: skip
def test_what_names_a_file_or_does_not_fit_is_refused(client: TestClient, name: str, given: dict[str, Any]) -> None:
    message(client, 400, name, **given)


@pytest.mark.parametrize("model", ["/etc", "~/model", "../model", "org/model"])
def test_a_model_is_one_of_the_list(client: TestClient, model: str) -> None:
    assert "not served" in message(client, 404, "txt2img", prompt="x", model=model)


def test_an_unknown_pipeline_has_a_nearest_one(client: TestClient) -> None:
    assert 'did you mean "txt2img"' in message(client, 404, "txt2im")


@dataclass
class Told:
    image: Image.Image
    values: np.ndarray
    source: str


def flip(rt: object, image: Image.Image, times: int = 1, schema: Literal["a", "b"] = "a") -> Told:
    """Turns an image upside down.

    times: how often.
    """
    return Told(image.rotate(180 * times), np.array([1.5, np.inf]), "/secret/place.txt")


def local(rt: object, path: Path) -> str:
    """Reads a file."""
    return path.read_text()


def register(mm: "Registry") -> None:
    mm.pipelines.add("flip", "test_generated:flip", "Upside down")
    mm.pipelines.add("local", "test_generated:local", "Reads")


@pytest.fixture
def plugged(client: TestClient, plug: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    import sys

    from mmgen.plugins import registry

    monkeypatch.setitem(sys.modules, "test_generated", sys.modules[__name__])
    plug(flipping=register)
    monkeypatch.setattr(client.app.state.rt, "registry", registry())  # type: ignore[attr-defined]
    yield client


def test_a_plugins_pipeline_is_served_by_itself(plugged: TestClient) -> None:
    found = {one["id"]: one for one in plugged.get("/v1/pipelines").json()["data"]}
    assert found["flip"]["description"] == "Turns an image upside down."
    assert found["flip"]["parameters"]["properties"]["times"]["description"] == "how often."
    told = call(plugged, "flip", image=data_url(), times=2, schema="b")
    assert opened(told["image"]).getpixel((0, 0)) == (255, 0, 0)
    assert told["values"] == [1.5, None] and told["source"] == "place.txt"


def test_a_pipeline_that_needs_a_path_is_not_served(plugged: TestClient) -> None:
    assert "local" not in {one["id"] for one in plugged.get("/v1/pipelines").json()["data"]}
    assert "cannot be sent over HTTP" in message(plugged, 400, "local", path="/etc/passwd")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str | None, str), (str | Sequence[str], str | list[str]), (Path, None), (Sequence[Path], None), (str | Path, str),
        (str | Mapping[str, Any] | None, dict[str, Any]), (Mapping[int, float], dict[int, float]), (object, None),
        (Literal["a"], Literal["a"]), (str | Path | Image.Image, pipeline_schema.EncodedImage), (tuple[int, int], list[int]),
    ],
)  # fmt: skip
def test_what_json_can_say_of_a_type(annotation: Any, expected: Any) -> None:
    assert pipeline_schema.network_type(annotation) == expected


def test_results_are_plain() -> None:
    assert serialization.to_json({"a": (1, None, True), "b": Path("/x/y"), 3: {"uri": "/x/z", "text": "/x/z"}}) == {
        "a": [1, None, True], "b": "y", "3": {"uri": "z", "text": "/x/z"}
    }  # fmt: skip
