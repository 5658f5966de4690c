"""Control images over HTTP: in OpenAI's form and A1111's, by the names that the server knows."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_controls
import tiny_images
from PIL import Image
from starlette.testclient import TestClient

from mmgen.config import RuntimeConfig
from mmgen.pipelines.edit import Edit
from mmgen.pipelines.image import recipe
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.settings import ServeConfig

FEW = {"steps": 2, "seed": 7}


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


@pytest.fixture(scope="module")
def rt(stable_diffusion: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    root = tmp_path_factory.mktemp("models")
    net = tiny_controls.controlnet(root / "net", stable_diffusion)
    known = {"lines": str(net), "canny": str(net)}
    config = RuntimeConfig(home=root / "home", device="cpu", denoiser=str(stable_diffusion), control_models=known)
    with Runtime(config) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def client(rt: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(rt, ServeConfig(history=True, drain_s=1.0))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_controls.photo(tmp_path_factory.mktemp("photo") / "photo.png", (32, 16))


@pytest.fixture(scope="module")
def sent(photo: Path) -> str:
    return base64.b64encode(photo.read_bytes()).decode()


def test_in_a_generation(client: TestClient, rt: Runtime, photo: Path, sent: str) -> None:
    body = {"prompt": "a cat", **FEW, "control": [{"model": "lines", "image": sent, "scale": 0.8, "end": 0.5}]}
    answer = client.post("/v1/images/generations", json=body).json()
    image = opened(answer["data"][0]["b64_json"])
    (expected,) = Txt2Img(rt)("a cat", control=f"lines={photo}@0.8:0-0.5", **FEW).images
    assert image.tobytes() == expected.tobytes()
    assert answer["notes"] == ["the image of control lines is 32 x 16 pixels; it was scaled to 24 x 12"]
    made = recipe.of(image, "it").control[0]
    assert (made.model, made.reference, made.scale) == ("lines", "net", 0.8)  # and not where it lies
    kept = client.get("/v1/history").text
    assert sent[:60] not in kept


def test_in_an_edit(client: TestClient, photo: Path, sent: str) -> None:
    data = {"prompt": "a cat", **FEW, "control": json.dumps({"model": "canny", "image": f"data:image/png;base64,{sent}"})}
    answer = client.post("/v1/images/edits", data=data, files={"image": photo.read_bytes()})
    assert answer.status_code == 200, answer.text
    made = recipe.of(opened(answer.json()["data"][0]["b64_json"]), "it")
    assert made.task == "img2img" and made.control[0].kind == "canny"
    bad = client.post("/v1/images/edits", data=data | {"control": "{"}, files={"image": photo.read_bytes()})
    assert bad.status_code == 400 and "control is no JSON of a control image" in bad.text


@pytest.mark.parametrize(
    ("control", "status", "message"),
    [
        ({"model": "/etc/passwd"}, 404, "control model '/etc/passwd' is not here; there are canny, lines"),
        ({"model": "lines", "image": "AAAA"}, 422, "image"),
        ({"model": "lines", "scale": 99}, 400, "control[0].scale"),
        ({"model": "lines", "start": 0.5, "end": 0.5}, 400, "would act from 0.5 to 0.5"),
    ],
)
def test_what_is_refused(client: TestClient, sent: str, control: dict[str, Any], status: int, message: str) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", **FEW, "control": [{"image": sent, **control}]})
    assert (answer.status_code, message in answer.text) == (status, True), answer.text


def test_units_of_a1111(client: TestClient, rt: Runtime, photo: Path, sent: str) -> None:
    units = [
        {"image": sent, "module": "canny", "model": "lines [0a1b2c3d]", "weight": 0.8, "guidance_end": 0.5, "resize_mode": 1},
        {"enabled": False, "module": "openpose"},
        {"input_image": sent, "module": "none", "model": "lines", "control_mode": "Balanced"},
    ]
    body = {"prompt": "a cat", **FEW, "alwayson_scripts": {"controlnet": {"args": units}, "other": {"args": []}}}
    answer = client.post("/sdapi/v1/txt2img", json=body).json()
    (expected,) = Txt2Img(rt)("a cat", control=[f"lines:canny={photo}@0.8:0-0.5", f"lines:raw={photo}"], **FEW).images
    assert opened(answer["images"][0]).tobytes() == expected.tobytes()
    assert "alwayson_scripts" not in answer["parameters"]
    assert client.get("/controlnet/model_list").json() == {"model_list": ["canny", "lines"]}
    assert client.get("/controlnet/module_list").json()["module_list"] == ["none", "canny"]


def test_a_model_that_edits(
    client: TestClient, rt: Runtime, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/v1/images/edits asks for what the model does."""
    model = str(tiny_images.stable_diffusion(tmp_path / "sd", in_channels=8))
    monkeypatch.setattr("mmgen.serve.context.Context.model", lambda *_: model)
    data, files = {"prompt": "a cat", **FEW, "image_guidance": 2}, {"image": photo.read_bytes()}
    answer = client.post("/v1/images/edits", data=data, files=files)
    assert answer.status_code == 200, answer.text
    (expected,) = Edit(rt, model=model)(Image.open(photo), "a cat", image_guidance=2.0, **FEW).images
    assert opened(answer.json()["data"][0]["b64_json"]).tobytes() == expected.tobytes()
    streamed = client.post("/v1/images/edits", data=data | {"stream": "true", "partial_images": 1}, files=files)
    assert "image_edit.completed" in streamed.text
    refused = client.post("/v1/images/edits", data=data | {"strength": 0.5}, files=files)
    assert refused.status_code == 400 and "edits by instruction and reads no strength" in refused.text
