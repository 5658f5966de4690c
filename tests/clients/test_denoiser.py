"""What a call may leave open, and the size that suits a model."""

from pathlib import Path

import pytest

from mmgen.clients.denoiser import DenoiserClient
from mmgen.image_params import ImageParams
from mmgen.runtime import Runtime


def test_a_model_is_loaded_once(studio: Runtime, stable_diffusion: Path) -> None:
    assert studio.denoiser() is studio.denoiser(str(stable_diffusion))
    assert len(studio.denoiser().weights) == 64


def test_what_a_call_leaves_open(studio: Runtime) -> None:
    client = studio.denoiser()
    assert isinstance(client, DenoiserClient)
    params = client.resolved(ImageParams(prompt="a cat"))
    assert (params.steps, params.solver, params.guidance, params.width, params.height) == (20, "dpm++2m", 5.0, 16, 16)
    consistency = client.resolved(ImageParams(prompt="a cat", solver="lcm"))
    assert consistency.steps == 4


@pytest.mark.parametrize(
    ("given", "best"), [((16, 16), (16, 16)), ((640, 640), (16, 16)), ((400, 100), (32, 8)), ((1, 99), (4, 160))]
)
def test_the_size_that_suits_a_image(studio: Runtime, given: tuple[int, int], best: tuple[int, int]) -> None:
    assert studio.denoiser().fit(*given) == best
