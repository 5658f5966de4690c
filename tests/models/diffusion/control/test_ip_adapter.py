"""IP-Adapters draw what diffusers' pipelines draw, and a row with some draws the same alone and beside rows with others."""

import shutil
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
from safetensors.torch import save_file

from mmgen.errors import BadWeights
from mmgen.image_params import ControlImage, ImageParams, LoraWeight
from mmgen.models.diffusion.control import ip_adapter, loading
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.runtime import Runtime


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models by name, and a photo."""
    root = tmp_path_factory.mktemp("models")
    found = {"sd": tiny_images.stable_diffusion(root / "sd"), "xl": tiny_images.stable_diffusion_xl(root / "xl")}
    for number, kind in enumerate(("plain", "plus", "full")):
        found[kind] = tiny_controls.ip_adapter(root / "adapters", found["sd"], kind, number)
    found["for xl"] = tiny_controls.ip_adapter(root / "xl-adapters", found["xl"], "plus", 4)
    found["net"] = tiny_controls.controlnet(root / "net", found["sd"], 5)
    found["photo"] = tiny_controls.photo(root / "photo.png", (20, 14))
    return found


def theirs(kind: Any, base: Path, adapters: list[Path], images: list[Image.Image], scales: list[float]) -> np.ndarray:
    loading = {"safety_checker": None} if kind is diffusers.StableDiffusionPipeline else {}
    pipeline = kind.from_pretrained(base, **loading)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(
        str(adapters[0].parent), subfolder="", weight_name=[one.name for one in adapters], image_encoder_folder="image_encoder"
    )
    pipeline.set_ip_adapter_scale(scales)
    out = pipeline("a cat", ip_adapter_image=images, generator=torch.Generator().manual_seed(7), **CALL)
    return np.asarray(out.images[0])


@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_equals_diffusers(rt: Runtime, made: dict[str, Path], kind: str) -> None:
    photo = Image.open(made["photo"])
    expected = theirs(diffusers.StableDiffusionPipeline, made["sd"], [made[kind]], [photo], [0.7])
    (found,) = drawn(rt, made["sd"], row(rt, made["sd"], [ControlImage(str(made[kind]), made["photo"], 0.7)]))
    assert np.abs(found - expected).max() <= NEARLY
    (plain,) = drawn(rt, made["sd"], row(rt, made["sd"], []))
    assert np.abs(found - plain).max() > 0.01


def test_several_and_of_xl(rt: Runtime, made: dict[str, Path]) -> None:
    photo = Image.open(made["photo"])
    names, images = ["plain", "plus"], [photo, photo.rotate(90)]
    expected = theirs(diffusers.StableDiffusionPipeline, made["sd"], [made[name] for name in names], images, [0.5, 0.9])
    controls = [
        ControlImage(str(made[name]), image, scale) for name, image, scale in zip(names, images, (0.5, 0.9), strict=True)
    ]
    assert np.abs(drawn(rt, made["sd"], row(rt, made["sd"], controls))[0] - expected).max() <= NEARLY
    expected = theirs(diffusers.StableDiffusionXLPipeline, made["xl"], [made["for xl"]], [photo], [0.8])
    (found,) = drawn(rt, made["xl"], row(rt, made["xl"], [ControlImage(str(made["for xl"]), photo, 0.8)]))
    assert np.abs(found - expected).max() <= NEARLY


def test_rows_of_every_kind_share_their_passes(rt: Runtime, made: dict[str, Path], tmp_path: Path) -> None:
    """Also with a LoRA on the queries that both attentions share."""
    query = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"
    save_file(
        {f"{query}.lora_A.weight": torch.ones(2, 16), f"{query}.lora_B.weight": torch.ones(16, 2)}, tmp_path / "a.safetensors"
    )
    lora = (LoraWeight(tmp_path / "a.safetensors", 0.5),)
    plain, plus, net = (ControlImage(str(made[name]), made["photo"], 0.8) for name in ("plain", "plus", "net"))
    rows = [
        row(rt, made["sd"], []),
        row(rt, made["sd"], [plain], seed=8),
        row(rt, made["sd"], [plus, net, plain], seed=9, steps=3),
        row(rt, made["sd"], [ControlImage(str(made["plus"]), made["photo"], 0.3, 0.25, 1)], guidance=1.0),
        row(rt, made["sd"], [plain, plus], loras=lora),
        row(rt, made["sd"], [], loras=lora),
    ]
    assert_equal_alone(rt, made["sd"], rows)


def test_the_folder_of_one(rt: Runtime, made: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(made["plain"].parent / "image_encoder", tmp_path / "image_encoder")
    shutil.copy(made["plain"], tmp_path)
    expected = drawn(rt, made["sd"], row(rt, made["sd"], [ControlImage(str(made["plain"]), made["photo"])]))[0]
    found = drawn(rt, made["sd"], row(rt, made["sd"], [ControlImage(str(tmp_path), made["photo"])]))[0]
    np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_used(made: dict[str, Path], tmp_path: Path) -> None:
    base = DenoiserModel.load(made["sd"], name="sd")
    with pytest.raises(BadWeights, match="it makes tokens of 40 numbers, sd reads 16; take one made for it"):
        loading.load(made["for xl"], base, name="it")
    with pytest.raises(BadWeights, match=r"an IP-Adapter of faces \(FaceID\), whose InsightFace is not here"):
        loading.load(tiny_controls.ip_adapter(tmp_path / "face", made["sd"], "face"), base, name="it")
    alone = Path(shutil.copy(made["plain"], tmp_path / "alone.safetensors"))
    with pytest.raises(BadWeights, match="has no image_encoder/ beside it; copy the CLIP image encoder"):
        loading.load(alone, base, name="it")
    encoder = shutil.copytree(made["plain"].parent / "image_encoder", tmp_path / "image_encoder")
    told = (encoder / "config.json").read_text().replace('"projection_dim": 12', '"projection_dim": 13')
    (encoder / "config.json").write_text(told)
    with pytest.raises(BadWeights, match=r"reads 12 numbers of an image encoder \(projection_dim\), which .* does not give"):
        loading.load(alone, base, name="it")
    assert ip_adapter.file_in(made["net"]) is None


def test_an_image_prompt_is_a_control_by_that_name() -> None:
    params = ImageParams(image_prompt=["photo.png@0.6", Path("other.png")])
    assert params.control == (ControlImage("ip-adapter", Path("photo.png"), 0.6), ControlImage("ip-adapter", Path("other.png")))
    assert ImageParams(image_prompt="photo.png").control == (ControlImage("ip-adapter", Path("photo.png")),)
