"""ControlNets of SD3 and FLUX.1 draw what diffusers' pipelines draw, and a row is the same alone and beside others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_controls
import tiny_dit
import torch
from control_rows import NEARLY, assert_equal_alone, drawn
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from mmgen.config import RuntimeConfig
from mmgen.errors import BadWeights
from mmgen.image_params import ControlImage, ImageParams
from mmgen.pipelines.image import control_images
from mmgen.runtime import Runtime

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")  # by diffusers' own ControlNet
SIDE, STEPS = 16, 3
SD3: dict[str, Any] = {
    "sample_size": 8, "patch_size": 2, "in_channels": 4, "num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2,
    "joint_attention_dim": 32, "caption_projection_dim": 16, "pooled_projection_dim": 16, "out_channels": 4,
    "pos_embed_max_size": 16,
}  # fmt: skip
FLUX: dict[str, Any] = {
    "patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
    "num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 16, "axes_dims_rope": [4, 6, 6],
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Pipelines and folders by name, and a photo."""
    root = tmp_path_factory.mktemp("models")
    found: dict[str, Any] = {"photo": tiny_controls.photo(root / "photo.png", (SIDE, SIDE))}
    for name in ("sd3", "flux"):
        found[name] = root / name
        found[f"{name} pipeline"] = tiny_dit.make(name, root / name)
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "one": (diffusers.SD3ControlNetModel, SD3),
        "two": (diffusers.SD3ControlNetModel, SD3 | {"num_layers": 2, "force_zeros_for_pooled_projection": False}),
        "of flux": (diffusers.FluxControlNetModel, FLUX | {"guidance_embeds": True}),
        "without guidance": (diffusers.FluxControlNetModel, FLUX | {"num_single_layers": 0}),
        "union": (diffusers.FluxControlNetModel, FLUX | {"num_mode": 3}),
    }
    for seed, (name, (kind, config)) in enumerate(kinds.items()):
        network = kind(**config)
        tiny_controls.randomize(network, seed)
        network.save_pretrained(root / name)
        found[name] = root / name
    return found


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu")) as started:
        yield started


def row(rt: Runtime, base: Path, controls: Sequence[ControlImage], **options: Any) -> ImageParams:
    inputs = tuple(control_images.sized(one, (SIDE, SIDE)) for one in control_images.opened(controls, rt))
    asked = {"prompt": "a cat", "steps": STEPS, "guidance": 3.0, "seed": 7, "width": SIDE, "height": SIDE}
    return rt.denoiser(str(base)).resolved(ImageParams(**asked | options, controls=inputs))


@pytest.mark.parametrize("name", ["one", "two", "of flux", "without guidance"])
def test_draws_what_diffusers_draws(rt: Runtime, made: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers draws the image's latents at random within their narrow distribution; we take the middle."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    of_sd3 = name in ("one", "two")
    base = "sd3" if of_sd3 else "flux"
    loaded = diffusers.SD3ControlNetModel if of_sd3 else diffusers.FluxControlNetModel
    kind: Any = diffusers.StableDiffusion3ControlNetPipeline if of_sd3 else diffusers.FluxControlNetPipeline
    parts = {part: one for part, one in made[f"{base} pipeline"].components.items() if one is not None}
    pipeline = kind(**parts, controlnet=loaded.from_pretrained(made[name]))
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        "a cat", control_image=Image.open(made["photo"]), controlnet_conditioning_scale=0.7, num_inference_steps=STEPS,
        guidance_scale=3.0, height=SIDE, width=SIDE, generator=torch.Generator().manual_seed(7), output_type="np",
    ).images[0]  # fmt: skip
    (found,) = drawn(rt, made[base], row(rt, made[base], [ControlImage(str(made[name]), made["photo"], 0.7)]))
    assert np.abs(found - expected).max() <= NEARLY
    (plain,) = drawn(rt, made[base], row(rt, made[base], []))
    assert np.abs(found - plain).max() > 0.02


@pytest.mark.parametrize("base", ["sd3", "flux"])
def test_rows_of_every_kind_share_their_passes(rt: Runtime, made: dict[str, Any], base: str) -> None:
    names = ("one", "two") if base == "sd3" else ("of flux", "without guidance")
    one, two = (ControlImage(str(made[name]), made["photo"], 0.8) for name in names)
    rows = [
        row(rt, made[base], []),
        row(rt, made[base], [one], seed=8),
        row(rt, made[base], [two, one], seed=9, steps=4),
        row(rt, made[base], [ControlImage(one.model, made["photo"], 0.3, 0.25, 1)], guidance=1.0),
    ]
    assert_equal_alone(rt, made[base], rows)


def test_what_is_refused(rt: Runtime, made: dict[str, Any], tmp_path: Path) -> None:
    photo = made["photo"]
    with pytest.raises(BadWeights, match=r"is of class SD3ControlNetModel; .* each by its own"):
        row(rt, made["flux"], [ControlImage(str(made["one"]), photo)])
    with pytest.raises(BadWeights, match="is a ControlNet of many kinds in one"):
        row(rt, made["flux"], [ControlImage(str(made["union"]), photo)])
    wider = diffusers.SD3ControlNetModel(**SD3 | {"joint_attention_dim": 24})
    wider.save_pretrained(tmp_path / "wider")
    with pytest.raises(BadWeights, match=r"has joint_attention_dim 24, .* 32; take a ControlNet made for"):
        row(rt, made["sd3"], [ControlImage(str(tmp_path / "wider"), photo)])
