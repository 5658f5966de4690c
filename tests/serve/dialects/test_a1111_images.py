"""A1111's options in the terms of ours."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.dialects.a1111_images import Img2ImgBody, Txt2ImgBody, solver


def test_options() -> None:
    body = Txt2ImgBody(prompt="a cat", negative_prompt="dog", seed=-1, steps=3, cfg_scale=7, sampler_name="Euler a",
                       batch_size=2, n_iter=2, width=64, height=32, override_settings={"sd_model_checkpoint": "x"})  # fmt: skip
    assert body.given() == {
        "prompt": "a cat", "negative": "dog", "n": 4, "steps": 3, "guidance": 7, "solver": "euler-a", "width": 64, "height": 32
    }  # fmt: skip
    assert body.checkpoint == "x" and Txt2ImgBody(seed=5).given() == {"prompt": "", "n": 1, "seed": 5}
    assert Img2ImgBody(init_images=["x"]).given()["strength"] == 0.75


def test_samplers() -> None:
    assert solver("DPM++ 2M", "Karras") == solver("DPM++ 2M Karras") == "dpm++2m-karras" and solver("unipc") == "unipc"
    assert solver(None) is None and solver("Euler", "automatic") == "euler"
    for name, scheduler in (("Restart", None), ("Euler", "karras"), ("Euler", "exponential")):
        with pytest.raises(BadRequest):
            solver(name, scheduler)


@pytest.mark.parametrize(
    "more",
    [{"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+"}, {"enable_hr": True, "hr_second_pass_steps": 9},
     {"restore_faces": True}, {"tiling": True}, {"script_name": "x"}, {"subseed_strength": 0.5},
     {"batch_size": 4, "n_iter": 4}],
)  # fmt: skip
def test_what_would_be_passed_over_is_refused(more: Any) -> None:
    with pytest.raises(BadRequest):
        Txt2ImgBody(**more).given()


def test_only_masked() -> None:
    body = Img2ImgBody(init_images=["x"], mask="x", inpaint_full_res=True, inpaint_full_res_padding=24)
    assert body.given()["only_masked"] == 24
    assert "only_masked" not in Img2ImgBody(init_images=["x"], inpaint_full_res=True).given()  # without a mask it means nothing
    assert "only_masked" not in Img2ImgBody(init_images=["x"], mask="x").given()


def test_hires_fix() -> None:
    assert (
        Txt2ImgBody(enable_hr=True, hr_scale=1.5, denoising_strength=0.4, hr_upscaler="Latent").given()["hires"] == "1.5x@0.4"
    )
    assert Txt2ImgBody(enable_hr=True).given()["hires"] == "2x@0.7" and "hires" not in Txt2ImgBody().given()
    with pytest.raises(BadRequest, match="enable_hr is given"):
        Img2ImgBody(init_images=["x"], enable_hr=True).given()
