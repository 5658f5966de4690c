"""/sdapi/v1 as clients of A1111's web UI call it."""

import base64
import io
import json
import threading
import time
from typing import Any

from PIL import Image
from starlette.testclient import TestClient

from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def sent(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_txt2img(client: TestClient, served: Runtime) -> None:
    body = {"prompt": "a cat", "steps": 2, "seed": 5, "batch_size": 2, "sampler_name": "Euler a", "cfg_scale": 3}
    answer = client.post("/sdapi/v1/txt2img", json=body).json()
    alone = Txt2Img(served)("a cat", steps=2, seed=5, n=2, solver="euler-a", guidance=3.0)
    assert [opened(one).tobytes() for one in answer["images"]] == [one.tobytes() for one in alone.images]
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [5, 6] and info["sampler_name"] == "Euler a" and info["steps"] == 2
    assert "Steps: 2, Sampler: Euler a" in info["infotexts"][0] == opened(answer["images"][0]).info["parameters"]
    assert answer["parameters"]["prompt"] == "a cat"


def test_img2img_and_inpaint(client: TestClient) -> None:
    image = Image.new("RGB", (16, 16), "red")
    body = {"prompt": "a cat", "steps": 3, "seed": 5, "init_images": [sent(image)], "denoising_strength": 0.5}
    assert opened(client.post("/sdapi/v1/img2img", json=body).json()["images"][0]).size == (16, 16)
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    kept = opened(client.post("/sdapi/v1/img2img", json=body | {"mask": sent(mask)}).json()["images"][0])
    other = body | {"mask": sent(mask), "inpainting_mask_invert": 1}
    turned = opened(client.post("/sdapi/v1/img2img", json=other).json()["images"][0])
    assert kept.getpixel((15, 8)) != kept.getpixel((0, 8)) and kept.tobytes() != turned.tobytes()


def test_models_samplers_and_options(client: TestClient) -> None:
    titles = [one["title"] for one in client.get("/sdapi/v1/sd-models").json()]
    chosen = client.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    assert (
        chosen in titles
        and {"name": "Euler a", "aliases": ["euler-a"], "options": {}} in client.get("/sdapi/v1/samplers").json()
    )
    assert client.get("/sdapi/v1/schedulers").json()[1]["name"] == "karras"
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": chosen}).status_code == 200
    for wrong in ({"sd_model_checkpoint": "none"}, {"CLIP_stop_at_last_layers": 2}, {"samples_format": "jpg"}):
        assert client.post("/sdapi/v1/options", json=wrong).status_code in (400, 404)
    assert "detail" in client.post("/sdapi/v1/txt2img", json={"prompt": "x", "restore_faces": True}).json()


def test_progress_and_interrupt(client: TestClient, served: Runtime, monkeypatch: Any) -> None:
    runner = served.engine.runners[served.denoiser().denoise]  # type: ignore[attr-defined]
    step = runner.step

    def late(jobs: Any) -> None:
        time.sleep(0.05)
        step(jobs)

    monkeypatch.setattr(runner, "step", late)
    assert client.get("/sdapi/v1/progress").json()["progress"] == 0
    answers: list[Any] = []
    body = {"prompt": "a cat", "steps": 200, "seed": 5}
    drawing = threading.Thread(target=lambda: answers.append(client.post("/sdapi/v1/txt2img", json=body)))
    drawing.start()
    end = time.monotonic() + 30
    while not (told := client.get("/sdapi/v1/progress").json())["state"]["sampling_step"] and time.monotonic() < end:
        time.sleep(0.01)
    assert 0 < told["progress"] < 1 and told["state"]["sampling_steps"] == 200 and told["state"]["job_count"] == 1
    assert client.post("/sdapi/v1/interrupt").json() == {}
    drawing.join(30)
    assert answers[0].status_code == 200 and answers[0].json()["images"] == []
    assert client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 0
