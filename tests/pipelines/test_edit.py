"""Models that are told of an image in every step draw what diffusers' pipelines draw, alone and in a batch."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_controls
import tiny_images
import torch
from control_rows import CALL, NEARLY, assert_equal_alone
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from mmgen.errors import BadRequest, BadWeights
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.pipelines.edit import Edit
from mmgen.pipelines.image.rows import started
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 4, "seed": 7, "solver": "ddim", "guidance": 3.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    mask = Image.new("L", (16, 16))
    mask.paste(255, (5, 2, 12, 9))
    mask.save(root / "mask.png")
    return {
        "edit": tiny_images.stable_diffusion(root / "edit", in_channels=8),
        "inpaint": tiny_images.stable_diffusion(root / "inpaint", in_channels=9),
        "photo": tiny_controls.photo(root / "photo.png"),
        "mask": root / "mask.png",
    }


def theirs(kind: Any, base: Path, **options: Any) -> np.ndarray:
    pipeline = kind.from_pretrained(base, safety_checker=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    taken = {name: value for name, value in CALL.items() if "pix2pix" not in kind.__module__ or name not in ("height", "width")}
    return np.asarray(pipeline("a cat", generator=torch.Generator().manual_seed(7), **taken | options).images[0])


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32) / 255


@pytest.mark.parametrize("image_guidance", [1.5, 1.0])
def test_an_instructed_edit(studio: Runtime, made: dict[str, Path], image_guidance: float) -> None:
    expected = theirs(
        diffusers.StableDiffusionInstructPix2PixPipeline, made["edit"], image=Image.open(made["photo"]),
        image_guidance_scale=image_guidance, negative_prompt="red",
    )  # fmt: skip
    edit = Edit(studio, model=str(made["edit"]))
    drawn = edit(made["photo"], "a cat", negative="red", image_guidance=image_guidance, **FEW)
    assert np.abs(pixels(drawn.images[0]) - expected).max() <= 1.5 * NEARLY
    assert drawn.recipes[0].image_guidance == image_guidance and drawn.recipes[0].task == "edit"


def test_rows_of_an_edit_share_their_passes(studio: Runtime, made: dict[str, Path], tmp_path: Path) -> None:
    """Different images and guidance, one without any."""
    client = studio.denoiser(str(made["edit"]))
    other = Image.open(tiny_controls.photo(tmp_path / "other.png", seed=3))
    rows = [
        client.resolved(started(ImageParams(prompt="a cat", **FEW | more), client, image, None))
        for image, more in (
            (Image.open(made["photo"]), {"image_guidance": 2.0}),
            (other, {"image_guidance": 1.0, "seed": 8}),
            (other, {"guidance": 1.0, "steps": 3}),
        )
    ]
    assert_equal_alone(studio, made["edit"], rows)


def test_a_network_that_is_told_the_mask(
    studio: Runtime, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """diffusers samples the image's latents, which are their mode here; outside the mask every pixel stays."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    photo, mask = Image.open(made["photo"]), Image.open(made["mask"])
    for strength in (1.0, 0.75):
        expected = theirs(
            diffusers.StableDiffusionInpaintPipeline, made["inpaint"], image=photo, mask_image=mask, strength=strength
        )
        drawn = Inpaint(studio, model=str(made["inpaint"]))(photo, mask, "a cat", strength=strength, **FEW)
        within = np.asarray(mask) > 0
        found = pixels(drawn.images[0])
        assert np.abs(found - expected)[within].max() <= 1.5 * NEARLY
        np.testing.assert_array_equal(np.asarray(drawn.images[0])[~within], np.asarray(photo)[~within])
    photo.filename = "photo.png"  # type: ignore[attr-defined]
    (path,) = Edit(studio, model=str(made["edit"]))(photo, "a cat", **FEW).save(tmp_path / "out.png")
    Image.open(made["photo"]).save(tmp_path / "photo.png")
    assert reproduce(studio, path).equal


def test_what_does_not_go_together(studio: Runtime, made: dict[str, Path]) -> None:
    photo, edit = made["photo"], str(made["edit"])
    with pytest.raises(BadRequest, match="edit edits images by instruction; use `mmgen edit`"):
        Img2Img(studio, model=edit)(photo, "a cat", **FEW)
    with pytest.raises(BadRequest, match="edits images by instruction"):
        Txt2Img(studio, model=edit)("a cat", **FEW)
    with pytest.raises(BadRequest, match="follows no instructions; take InstructPix2Pix, FLUX"):
        Edit(studio)(photo, "a cat", **FEW)
    with pytest.raises(BadRequest, match="is an inpainting model; give it an image and a mask"):
        Img2Img(studio, model=str(made["inpaint"]))(photo, "a cat", **FEW)
    with pytest.raises(BadRequest, match=r"image_guidance is 0\.5; it can be 1 to 100"):
        Edit(studio, model=edit)(photo, "a cat", image_guidance=0.5)


def test_the_refiner_is_refused_at_load(tmp_path: Path) -> None:
    folder = tiny_images.stable_diffusion_xl(tmp_path / "xl")
    for name in ("text_encoder", "tokenizer"):
        (folder / name).rename(folder / f"no_{name}")
    with pytest.raises(BadWeights, match="is the refiner of Stable Diffusion XL, which does not run here; take the base model"):
        DenoiserModel.load(folder)


def test_cosxl_edit_is_told_scaled_latents(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["edit"], tmp_path / "cosxl"))
    plain = DenoiserModel.load(folder)
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"is_cosxl_edit": True}))
    cosxl, pixels = DenoiserModel.load(folder), torch.rand(3, 16, 16)
    torch.testing.assert_close(cosxl.reference(pixels), cosxl.encode(pixels[None])[0])
    torch.testing.assert_close(plain.reference(pixels) * 0.2, cosxl.reference(pixels))  # the autoencoder's scaling_factor
