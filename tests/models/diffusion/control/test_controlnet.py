"""ControlNets draw what diffusers' pipelines draw, and a row with some draws the same alone and beside rows with others."""

from collections.abc import Sequence
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
from safetensors.torch import load_file, save_file

from mmgen.image_params import ControlImage
from mmgen.models.diffusion.control.controlnet import _original
from mmgen.runtime import Runtime


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models by name, and a photo."""
    root = tmp_path_factory.mktemp("models")
    found = {"sd": tiny_images.stable_diffusion(root / "sd"), "xl": tiny_images.stable_diffusion_xl(root / "xl")}
    found["one"] = tiny_controls.controlnet(root / "one", found["sd"], 1)
    found["two"] = tiny_controls.controlnet(root / "two", found["sd"], 2, "bgr")
    found["three"] = tiny_controls.controlnet(root / "three", found["xl"], 3)
    found["photo"] = tiny_controls.photo(root / "photo.png")
    return found


def theirs(kind: Any, base: Path, nets: Sequence[Path], images: Sequence[Image.Image], **options: Any) -> np.ndarray:
    models = [diffusers.ControlNetModel.from_pretrained(one) for one in nets]
    options |= {"safety_checker": None} if kind is diffusers.StableDiffusionControlNetPipeline else {}
    loading = {name: options.pop(name) for name in ("safety_checker",) if name in options}
    pipeline = kind.from_pretrained(base, controlnet=models[0] if len(models) == 1 else models, **loading)
    pipeline.set_progress_bar_config(disable=True)
    given: Any = images[0] if len(images) == 1 else list(images)
    out = pipeline("a cat", image=given, generator=torch.Generator().manual_seed(7), **CALL, **options)
    return np.asarray(out.images[0])


def test_one_for_a_share_of_the_steps(rt: Runtime, made: dict[str, Path]) -> None:
    expected = theirs(
        diffusers.StableDiffusionControlNetPipeline, made["sd"], [made["one"]], [Image.open(made["photo"])],
        controlnet_conditioning_scale=0.8, control_guidance_end=0.5,
    )  # fmt: skip
    control = ControlImage(str(made["one"]), made["photo"], 0.8, end=0.5)
    (found,) = drawn(rt, made["sd"], row(rt, made["sd"], [control]))
    assert np.abs(found - expected).max() <= NEARLY
    (whole,) = drawn(rt, made["sd"], row(rt, made["sd"], [ControlImage(str(made["one"]), made["photo"], 0.8)]))
    (plain,) = drawn(rt, made["sd"], row(rt, made["sd"], []))
    assert np.abs(found - whole).max() > 0.02 and np.abs(found - plain).max() > 0.02


def test_several_at_once(rt: Runtime, made: dict[str, Path]) -> None:
    """The second one sees blue first."""
    other = Image.open(made["photo"]).rotate(90)
    expected = theirs(
        diffusers.StableDiffusionControlNetPipeline, made["sd"], [made["one"], made["two"]],
        [Image.open(made["photo"]), other], controlnet_conditioning_scale=[0.5, 1.25],
    )  # fmt: skip
    controls = [ControlImage(str(made["one"]), made["photo"], 0.5), ControlImage(str(made["two"]), other, 1.25)]
    (found,) = drawn(rt, made["sd"], row(rt, made["sd"], controls))
    assert np.abs(found - expected).max() <= NEARLY


def test_of_xl(rt: Runtime, made: dict[str, Path]) -> None:
    expected = theirs(
        diffusers.StableDiffusionXLControlNetPipeline, made["xl"], [made["three"]], [Image.open(made["photo"])],
        controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    (found,) = drawn(rt, made["xl"], row(rt, made["xl"], [ControlImage(str(made["three"]), made["photo"], 0.7)]))
    assert np.abs(found - expected).max() <= NEARLY


def test_rows_of_every_kind_share_their_passes(rt: Runtime, made: dict[str, Path]) -> None:
    """None, one, two, another scale, another share of the steps, a longer prompt: the same to the bit as alone."""
    one, two = (ControlImage(str(made[name]), made["photo"], 0.8) for name in ("one", "two"))
    rows = [
        row(rt, made["sd"], []),
        row(rt, made["sd"], [one], seed=8),
        row(rt, made["sd"], [two, one], seed=9, steps=3),
        row(rt, made["sd"], [ControlImage(str(made["one"]), made["photo"], 0.3, 0.25, 1)], guidance=1.0),
        row(rt, made["sd"], [one], prompt="two red birds and a dog"),
    ]
    assert_equal_alone(rt, made["sd"], rows)


def test_in_one_file(rt: Runtime, made: dict[str, Path], tmp_path: Path) -> None:
    """Under diffusers' names, and under those of the original repository."""
    expected = drawn(rt, made["sd"], row(rt, made["sd"], [ControlImage(str(made["one"]), made["photo"])]))[0]
    tensors = load_file(made["one"] / "diffusion_pytorch_model.safetensors")
    save_file(tensors, tmp_path / "plain.safetensors")
    save_file({f"control_model.{original(name)}": one for name, one in tensors.items()}, tmp_path / "old.safetensors")
    for name in ("plain", "old"):
        control = ControlImage(str(tmp_path / f"{name}.safetensors"), made["photo"])
        np.testing.assert_array_equal(drawn(rt, made["sd"], row(rt, made["sd"], [control]))[0], expected)


def original(name: str) -> str:
    """Of a tensor; the tiny network sees its image through three convolutions, the real one through eight."""
    place, _, end = name.rpartition(".")
    return f"{_original(place, 1)}.{end}"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("controlnet_cond_embedding.conv_in", "input_hint_block.0"),
        ("controlnet_cond_embedding.blocks.5", "input_hint_block.12"),
        ("controlnet_down_blocks.11", "zero_convs.11.0"),
        ("controlnet_mid_block", "middle_block_out.0"),
        ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
        ("time_embedding.linear_1", "time_embed.0"),
    ],
)
def test_names_of_the_original_repository(ours: str, theirs: str) -> None:
    assert _original(ours, 2) == theirs
