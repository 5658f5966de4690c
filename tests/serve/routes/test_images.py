import base64
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mmgen.pipelines.image import recipe

if TYPE_CHECKING:
    from fastapi import FastAPI
    from openai import OpenAI

    from mmgen.runtime import Runtime

STEPS = {"steps": 2, "seed": 7}


def opened(b64: str | None) -> Image.Image:
    assert b64 is not None
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def png(colour: str = "red", size: tuple[int, int] = (16, 16), clear: tuple[int, int, int, int] | None = None) -> bytes:
    """An image; `clear`: a box that is transparent."""
    image = Image.new("RGBA" if clear else "RGB", size, colour)
    if clear:
        image.paste((0, 0, 0, 0), clear)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_image_from_words(openai: "OpenAI", pixel_model: Path) -> None:
    answer = openai.images.generate(prompt="a cat", extra_body=STEPS)
    (one,) = answer.data or ()
    image = opened(one.b64_json)
    assert image.size == (16, 16) and answer.size == "16x16" and answer.output_format == "png"
    assert one.revised_prompt is None and one.url is None
    made = recipe.of(image, "it")
    assert (made.prompt, made.seed, made.steps, made.task) == ("a cat", 7, 2, "txt2img")
    assert made.model == pixel_model.name  # and not where it lies
    assert answer.usage is not None and answer.usage.output_tokens == 64  # latents of 8 x 8
    assert answer.usage.input_tokens == 4  # [CLS] a cat [SEP]


def test_the_same_seed_draws_the_same(openai: "OpenAI") -> None:
    first, second = openai.images.generate(prompt="a cat", n=2, extra_body=STEPS).data or ()
    (again,) = openai.images.generate(prompt="a cat", extra_body={"steps": 2, "seed": 8}).data or ()
    assert opened(second.b64_json).tobytes() == opened(again.b64_json).tobytes() != opened(first.b64_json).tobytes()
    assert [one.to_dict()["seed"] for one in (first, second)] == [7, 8]


@pytest.mark.parametrize(("kind", "name"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_other_formats(openai: "OpenAI", kind: Any, name: str) -> None:
    answer = openai.images.generate(prompt="a cat", output_format=kind, output_compression=50, extra_body=STEPS)
    assert opened((answer.data or [])[0].b64_json).format == name and answer.output_format == kind


def test_a_size_that_the_model_can_draw(client: TestClient) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", "size": "32x16", **STEPS}).json()
    assert opened(answer["data"][0]["b64_json"]).size == (32, 16)


@pytest.mark.parametrize("size", ["1024x1024", "17x16", "0x0"])
def test_another_size_is_told_those_that_are(client: TestClient, size: str) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", "size": size})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["param"] == "size"
    assert "8x8, 16x16, 24x24, 32x32" in error["message"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "prompt"), ({"prompt": "x", "n": 0}, "n"), ({"prompt": "x", "n": 11}, "n"), ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "size": "large"}, "size"), ({"prompt": "x", "background": "transparent"}, "background"),
        ({"prompt": "x", "solver": "magic"}, "solver"), ({"prompt": "x", "partial_images": 4}, "partial_images"),
        ({"prompt": "x", "output_format": "svg"}, "output_format"), ({"prompt": "x", "steps": 0}, "steps"),
    ],
)  # fmt: skip
def test_mistakes_are_told(client: TestClient, body: dict[str, Any], word: str) -> None:
    answer = client.post("/v1/images/generations", json=body)
    assert answer.status_code == 400 and word in answer.json()["error"]["message"]


@pytest.mark.parametrize("model", ["dall-e-3", "/etc", "../models", "~/models", "embedded:minilm"])
def test_a_model_is_a_name_of_the_list(client: TestClient, model: str) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "x", "model": model})
    assert answer.status_code == (400 if model == "embedded:minilm" else 404)


def test_a_url_is_for_its_caller_for_an_hour(openai: "OpenAI", client: TestClient, served: "Runtime") -> None:
    (one,) = openai.images.generate(prompt="a cat", response_format="url", extra_body=STEPS).data or ()
    assert one.url is not None and one.b64_json is None
    path = "/v1" + one.url.partition("/v1")[2]
    answer = client.get(path)
    assert answer.headers["content-type"] == "image/png"
    assert recipe.of(Image.open(io.BytesIO(answer.content)), "it").prompt == "a cat"
    (file,) = served.home.glob(f"files/*/{path.rpartition('/')[2]}")
    os.utime(file, (0, time.time() - 3700))
    assert client.get(path).status_code == 404
    assert client.get("/v1/files/images/..%2f..%2fkeys.db").status_code == 404


def test_an_edit_draws_where_the_mask_is_transparent(openai: "OpenAI") -> None:
    mask = png(clear=(0, 0, 8, 16))
    answer = openai.images.edit(image=("../../a.png", png("blue")), mask=mask, prompt="a cat", extra_body=STEPS)
    image = opened((answer.data or [])[0].b64_json).convert("RGB")
    assert recipe.of(opened((answer.data or [])[0].b64_json), "it").task == "inpaint"
    assert all(image.getpixel((x, y)) == (0, 0, 255) for x in range(8, 16) for y in range(16))
    assert any(image.getpixel((x, y)) != (0, 0, 255) for x in range(8) for y in range(16))


def test_the_image_can_be_its_own_mask(openai: "OpenAI") -> None:
    answer = openai.images.edit(image=png("blue", clear=(0, 0, 8, 16)), prompt="a cat", extra_body=STEPS)
    made = opened((answer.data or [])[0].b64_json)
    assert recipe.of(made, "it").task == "inpaint" and made.convert("RGB").getpixel((12, 3)) == (0, 0, 255)


def test_without_a_mask_all_of_it_is_drawn_anew(openai: "OpenAI") -> None:
    answer = openai.images.edit(image=[png("blue")], prompt="a cat", extra_body={**STEPS, "strength": 0.5})
    made = recipe.of(opened((answer.data or [])[0].b64_json), "it")
    assert (made.task, made.strength, made.steps) == ("img2img", 0.5, 2)


@pytest.mark.parametrize(
    ("files", "status", "word"),
    [
        ({"image": b"no image"}, 422, "no image"), ({"image": b""}, 422, "image"),
        ({"image": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, 422, "SVG"), ({"image": png()[:45]}, 422, "read"),
        ({"image": png(), "mask": png()}, 400, "transparent"), ({}, 400, "image"),
        ({"image": png(), "image[]": png()}, 400, "draws one image anew; give one"),
        ({"image": png(), "image[]": png(), "mask": png(clear=(0, 0, 4, 4))}, 400, "a mask says what of one image"),
        ({"image": png(clear=(0, 0, 4, 4)), "image[]": png()}, 400, "parts of the first image are transparent"),
        ({"image": png(), "mask": png(size=(8, 8), clear=(0, 0, 4, 4))}, 400, "same size"),
    ],
)  # fmt: skip
def test_files_that_are_none(client: TestClient, files: dict[str, bytes], status: int, word: str) -> None:
    sent = {name: ("a.png", data) for name, data in files.items()}
    answer = client.post("/v1/images/edits", data={"prompt": "a cat", "steps": "2"}, files=sent or {"other": b"x"})
    assert answer.status_code == status and word in answer.json()["error"]["message"]


def test_a_bomb_is_refused_before_it_goes_off(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    answer = client.post("/v1/images/edits", data={"prompt": "x"}, files={"image": png()})
    assert answer.status_code == 413 and "pixels" in answer.json()["error"]["message"]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI's own models have none any more
def test_variations_of_a_image_that_tells_its_prompt(openai: "OpenAI") -> None:
    (one,) = openai.images.generate(prompt="a cat", extra_body=STEPS).data or ()
    answer = openai.images.create_variation(image=base64.b64decode(one.b64_json or ""), n=2, extra_body=STEPS)
    made = [recipe.of(opened(each.b64_json), "it") for each in answer.data or ()]
    assert [(one.task, one.prompt, one.seed) for one in made] == [("variations", "a cat", 7), ("variations", "a cat", 8)]


def test_variations_need_a_prompt_otherwise(client: TestClient) -> None:
    answer = client.post("/v1/images/variations", files={"image": png()})
    assert answer.status_code == 400 and "prompt" in answer.json()["error"]["message"]
    sent = client.post("/v1/images/variations", files={"image": png()}, data={"prompt": "a cat", "size": "1024x1024"})
    assert sent.status_code == 400 and "16x16" in sent.json()["error"]["message"]


def test_unfinished_images_are_streamed(openai: "OpenAI") -> None:
    whole = openai.images.generate(prompt="a cat", extra_body={"steps": 8, "seed": 7})
    stream = openai.images.generate(prompt="a cat", stream=True, partial_images=2, extra_body={"steps": 8, "seed": 7})
    *early, last = list(stream)
    assert [event.type for event in early] == ["image_generation.partial_image"] * 2
    assert [event.to_dict()["partial_image_index"] for event in early] == [0, 1]
    assert last.type == "image_generation.completed" and last.usage.output_tokens == 64
    finished = opened(last.b64_json).tobytes()
    assert finished == opened((whole.data or [])[0].b64_json).tobytes()
    assert finished not in [opened(event.b64_json).tobytes() for event in early]


def test_an_edit_is_streamed(openai: "OpenAI") -> None:
    stream = openai.images.edit(image=png(), prompt="a cat", stream=True, extra_body={**STEPS, "strength": 1})
    assert [event.type for event in stream] == ["image_edit.completed"]


def test_a_mistake_is_told_before_the_stream_begins(client: TestClient) -> None:
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", "stream": True, "size": "1024x1024"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "size"


@pytest.fixture
def remembering(make_app: "Callable[..., FastAPI]") -> "Iterator[FastAPI]":
    app = make_app(history=True)
    yield app
    app.state.history.close()


def test_the_history_keeps_the_image(remembering: "FastAPI", monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(remembering.state.history, "add", lambda *args: kept.append(args))
    with TestClient(remembering, base_url="http://localhost") as client:
        client.post("/v1/images/generations", json={"prompt": "a cat", **STEPS})
    ((user, id, kind, asked, result, files),) = kept
    assert (user, kind, asked) == ("local", "txt2img", {"prompt": "a cat", "seed": 7, "steps": 2})
    assert result["seeds"] == [7] and recipe.of(Image.open(io.BytesIO(files["1.png"])), "it").seed == 7 and id
