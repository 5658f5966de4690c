"""Step caching: what is left out and what it costs; the same alone and in a batch; nothing where nothing is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_dit
import torch

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest
from mmgen.models.diffusion.dit import model as dit
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runners.step_cache import StepCache, distance
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 8, "seed": 7, "width": 32, "height": 32}


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("sd3")
    tiny_dit.make("sd3", folder)
    with Runtime(RuntimeConfig(home=folder, device="cpu", denoiser=f"{folder}#fp32", plugins=())) as made:
        yield made


def test_decisions() -> None:
    cache, one = StepCache(0.1), torch.ones(2, 3)
    assert not cache.fits(one, last=False)
    cache.keep(one, one)
    assert cache.fits(one * 1.05, last=False) and not cache.fits(one * 1.2, last=False) and not cache.fits(one, last=True)
    assert torch.equal(cache.use(), one) and cache.reused == 1
    cache.keep(one * 1.2, one * 1.25)
    assert cache.error == pytest.approx(0.2) and cache.streak == 0 and distance(one, one * 2) == pytest.approx(0.5)


def test_images_and_recipes(rt: Runtime) -> None:
    draw = Txt2Img(rt)
    plain, none, some = (draw("a red cat", step_cache=threshold, **FEW) for threshold in (0.0, 1e-9, 0.3))
    assert plain.recipes[0].cached is None and plain.images[0].tobytes() == none.images[0].tobytes()
    assert none.recipes[0].cached is not None and none.recipes[0].cached.reused == 0
    left = some.recipes[0].cached
    assert left is not None and 0 < left.reused < 8 and left.of == 8 and 0 < left.error < 1
    assert some.recipes[0].step_cache == 0.3  # type: ignore[attr-defined]
    off = np.abs(np.asarray(some.images[0], int) - np.asarray(plain.images[0], int)).mean()
    assert 0 < off < 20


def test_in_a_batch(rt: Runtime) -> None:
    """Each row decides for itself."""
    draw = Txt2Img(rt)
    alone = draw("a red cat", step_cache=0.3, **FEW)
    cells = draw("a red cat", x="step_cache=0,0.3,1", y="guidance=1,7", **FEW)
    assert cells.recipes[4].guidance == alone.recipes[0].guidance  # type: ignore[attr-defined]
    assert cells.images[4].tobytes() == alone.images[0].tobytes()


@pytest.mark.parametrize("name", [one for one in tiny_dit.FAMILIES if one not in ("schnell", "flux2_klein")])
def test_every_family_has_a_first_block(name: str, tmp_path: Path) -> None:
    tiny_dit.make(name, tmp_path)
    model = dit.load(tmp_path)
    x = torch.randn(1, *model.latent_shape(model.step * 4, model.step * 4))
    condition = model.embed_prompts(["a red cat"])
    scale = torch.tensor([3.0]) if model.guidance_embedded else None
    (residual,) = model.first_residuals(x, torch.tensor([500.0]), condition, scale)
    assert residual.dim() == 2 and float(residual.abs().sum()) > 0


def test_of_a_unet(studio: Runtime) -> None:
    """By its first residual block; in a batch as alone."""
    draw, few = Txt2Img(studio), FEW | {"width": 16, "height": 16}
    plain, some = (draw("a cat", step_cache=threshold, **few) for threshold in (0.0, 0.6))
    left = some.recipes[0].cached
    assert left is not None and 0 < left.reused < 8 and left.error > 0
    assert some.images[0].tobytes() != plain.images[0].tobytes()
    cells = draw("a cat", x="step_cache=0,0.6", **few)
    for one, other in zip(cells.images, (plain, some), strict=True):
        assert one.tobytes() == other.images[0].tobytes()


def test_what_has_none(studio: Runtime) -> None:
    with pytest.raises(BadRequest, match="step_cache is 2; it can be 0 to 1"):
        Txt2Img(studio)("a cat", step_cache=2)
