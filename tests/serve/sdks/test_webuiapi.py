"""webuiapi, a client of A1111, unmodified: what it sends of itself must not stand in the way."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


@pytest.fixture
def api(server: str) -> Any:
    webuiapi = pytest.importorskip("webuiapi")
    place = urlsplit(server)
    return webuiapi.WebUIApi(host=place.hostname, port=place.port, sampler="Euler a", steps=2)


def test_txt2img(api: Any, served: Runtime) -> None:
    made = api.txt2img(prompt="a cat", seed=5, cfg_scale=3, width=16, height=16)
    alone = Txt2Img(served)("a cat", steps=2, seed=5, solver="euler-a", guidance=3.0, width=16, height=16)
    assert made.image.tobytes() == alone.images[0].tobytes() and made.info["seed"] == 5


def test_img2img_and_a_mask(api: Any) -> None:
    image, mask = Image.new("RGB", (16, 16), "red"), Image.new("L", (16, 16), 255)
    whole = api.img2img(images=[image], prompt="a cat", seed=5, width=16, height=16)
    masked = api.img2img(images=[image], mask_image=mask, inpaint_full_res=False, prompt="a cat", seed=5, width=16, height=16)
    assert whole.image.size == masked.image.size == (16, 16)


def test_what_there_is(api: Any) -> None:
    assert "Euler a" in [one["name"] for one in api.get_samplers()]
    chosen = api.get_options()["sd_model_checkpoint"]
    assert chosen in [one["title"] for one in api.get_sd_models()]
    assert api.util_get_current_model() == chosen
    assert api.get_progress()["progress"] == 0
    api.interrupt()
