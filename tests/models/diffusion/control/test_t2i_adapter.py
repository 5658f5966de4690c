"""T2I-Adapters draw what diffusers' pipelines draw, and a row with some draws the same alone and beside rows with others."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_controls
import tiny_images
import torch
from control_rows import CALL, NEARLY, assert_equal_alone, drawn, row
from PIL import Image

from mmgen.errors import BadRequest, BadWeights
from mmgen.image_params import ControlImage
from mmgen.models.diffusion.control import loading
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

pytestmark = pytest.mark.filterwarnings("ignore:The decode_latents method:FutureWarning")  # in diffusers' pipeline
SD = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
XL: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
XL_ADAPTER: dict[str, Any] = {"channels": [8, 16, 16, 16], "adapter_type": "full_adapter_xl", "downscale_factor": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models by name, and a photo. `xl` has the shape of XL's UNet, not its second text encoder."""
    root = tmp_path_factory.mktemp("models")
    found = {"sd": tiny_images.stable_diffusion(root / "sd", **SD), "xl": tiny_images.stable_diffusion(root / "xl", **XL)}
    found["one"] = tiny_controls.t2i_adapter(root / "one", 1)
    found["grey"] = tiny_controls.t2i_adapter(root / "grey", 2, in_channels=1)
    found["three"] = tiny_controls.t2i_adapter(root / "three", 3, **XL_ADAPTER)
    found["net"] = tiny_controls.controlnet(root / "net", found["sd"], 4)
    found["photo"] = tiny_controls.photo(root / "photo.png")
    return found


def theirs(base: Path, adapters: list[Path], images: list[Image.Image], scales: list[float]) -> np.ndarray:
    models = [diffusers.T2IAdapter.from_pretrained(one) for one in adapters]
    pipeline = diffusers.StableDiffusionAdapterPipeline.from_pretrained(
        base, adapter=models[0] if len(models) == 1 else diffusers.MultiAdapter(models), safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    given: dict[str, Any] = {"image": images, "adapter_conditioning_scale": scales}
    if len(models) == 1:
        given = {"image": images[0], "adapter_conditioning_scale": scales[0]}
    return np.asarray(pipeline("a cat", generator=torch.Generator().manual_seed(7), **CALL, **given).images[0])


@pytest.mark.parametrize(("base", "name"), [("sd", "one"), ("sd", "grey"), ("xl", "three")])
def test_equals_diffusers(rt: Runtime, made: dict[str, Path], base: str, name: str) -> None:
    photo = Image.open(made["photo"])
    expected = theirs(made[base], [made[name]], [photo.convert("L") if name == "grey" else photo], [0.8])
    (found,) = drawn(rt, made[base], row(rt, made[base], [ControlImage(str(made[name]), made["photo"], 0.8)]))
    assert np.abs(found - expected).max() <= NEARLY
    (plain,) = drawn(rt, made[base], row(rt, made[base], []))
    assert np.abs(found - plain).max() > 0.02


def test_several_at_once(rt: Runtime, made: dict[str, Path], tmp_path: Path) -> None:
    other, photo = tiny_controls.t2i_adapter(tmp_path / "other", 5), Image.open(made["photo"])
    expected = theirs(made["sd"], [made["one"], other], [photo, photo.rotate(90)], [0.5, 0.7])
    controls = [ControlImage(str(made["one"]), photo, 0.5), ControlImage(str(other), photo.rotate(90), 0.7)]
    (found,) = drawn(rt, made["sd"], row(rt, made["sd"], controls))
    assert np.abs(found - expected).max() <= NEARLY


def test_rows_of_every_kind_share_their_passes(rt: Runtime, made: dict[str, Path]) -> None:
    one, net = (ControlImage(str(made[name]), made["photo"], 0.8) for name in ("one", "net"))
    rows = [
        row(rt, made["sd"], []),
        row(rt, made["sd"], [one], seed=8),
        row(rt, made["sd"], [net, one], seed=9, steps=3),
        row(rt, made["sd"], [net]),
        row(rt, made["sd"], [ControlImage(str(made["grey"]), made["photo"], 0.3, 0.25, 1)], guidance=1.0),
    ]
    assert_equal_alone(rt, made["sd"], rows)


def test_another_unet_and_a_size_that_it_cannot_divide(made: dict[str, Path], rt: Runtime) -> None:
    told = r"it is a T2I-Adapter \(full_adapter_xl\) with channels \[8, 16, 16, 16\] and downscale_factor 4, which sd's UNet"
    with pytest.raises(BadWeights, match=told):
        loading.load(made["three"], DenoiserModel.load(made["sd"], name="sd"), name="it")
    control = ControlImage(str(made["three"]), Image.new("RGB", (18, 16)))
    with pytest.raises(BadRequest, match=r"width is 18 pixels; .* needs a multiple of 4, such as 16"):
        Txt2Img(rt, model=str(made["xl"]))("a cat", control=control, width=18, height=16, steps=1)
