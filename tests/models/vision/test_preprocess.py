"""Preprocessing against the upstream processors: within 1/255 of an image's range, whatever its size and mode."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
import transformers
from PIL import Image

from mmgen.errors import BadWeights
from mmgen.models.vision.preprocess import ImagePreprocess, rgb, to_images

SIZES = [(224, 224), (300, 200), (199, 301), (37, 500), (500, 37), (1, 1), (2, 90), (640, 481)]
RECIPES: dict[str, Callable[[], Any]] = {
    "clip": transformers.CLIPImageProcessor,
    "clip, odd": lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 65}, crop_size={"height": 50, "width": 61}),
    "clip, larger crop": lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=41),
    "clip, no resize": lambda: transformers.CLIPImageProcessor(do_resize=False, crop_size=91),
    "clip, no rescale": lambda: transformers.CLIPImageProcessor(do_rescale=False),
    "clip, plain": lambda: transformers.CLIPImageProcessor(do_normalize=False, rescale_factor=1 / 127.5),
    "siglip": transformers.SiglipImageProcessor,
    "siglip, lanczos": lambda: transformers.SiglipImageProcessor(size={"height": 48, "width": 80}, resample=1),
    "vit": transformers.ViTImageProcessor,
    "dinov2": lambda: transformers.BitImageProcessor(size={"shortest_edge": 256}),
}


@pytest.mark.parametrize("name", list(RECIPES))
def test_equal_to_upstream(name: str, tmp_path: Path) -> None:
    theirs = RECIPES[name]()
    theirs.save_pretrained(tmp_path)
    ours = ImagePreprocess.from_folder(tmp_path)
    for size in SIZES:
        image = tiny_vision.image(*size)
        expected = theirs(image, return_tensors="pt")["pixel_values"][0]
        found = ours(image)
        assert found.dtype == torch.float32 and found.shape == expected.shape
        difference = (found - expected).abs().amax((1, 2)) * torch.tensor(ours.std) / ours.factor
        strip = max(size) > 8 * min(size)
        assert difference.max() <= (1.001 if strip else 0.001), f"{size}: {difference.max():.4f} of 255"


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "CMYK", "1"])
def test_modes(mode: str, tmp_path: Path) -> None:
    theirs = transformers.CLIPImageProcessor()
    theirs.save_pretrained(tmp_path)
    image = tiny_vision.image(90, 70, mode="RGBA")
    image = image.convert("RGB" if mode == "CMYK" else mode).convert(mode)
    expected = theirs(image, return_tensors="pt")["pixel_values"][0]
    assert (ImagePreprocess.from_folder(tmp_path)(image) - expected).abs().max() < 1 / 255 / 0.27


def test_a_transparent_palette_shows_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 0
    assert rgb(image).getpixel((1, 1)) == (255, 255, 255)


def written(folder: Path, **values: Any) -> ImagePreprocess:
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return ImagePreprocess.from_folder(folder)


def test_files_of_older_days(tmp_path: Path) -> None:
    """One number for a size: the shorter side for CLIP, both for ViT."""
    old = written(tmp_path, feature_extractor_type="CLIPFeatureExtractor", size=64, crop_size=60, do_normalize=True)
    assert (old.size, old.crop, old.resample) == (64, (60, 60), 3)
    assert written(tmp_path, feature_extractor_type="ViTFeatureExtractor", size=64).size == (64, 64)


def test_a_file_that_names_no_processor_goes_by_the_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    assert written(tmp_path, size=64).size == (64, 64)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BadWeights, match="names the image processor unknown; supported are CLIP"):
        written(tmp_path, size=64)


def test_inside_the_file_of_all_processors(tmp_path: Path) -> None:
    told = {"image_processor": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 8, "width": 9}}}
    (tmp_path / "processor_config.json").write_text(json.dumps(told))
    assert ImagePreprocess.from_folder(tmp_path).size == (8, 9)


@pytest.mark.parametrize(
    ("config", "size", "crop"),
    [
        ({"model_cfg": {"vision_cfg": {"image_size": 40}}}, 40, (40, 40)),
        ({"preprocess_cfg": {"size": [24, 24], "interpolation": "bilinear", "mean": [0, 0, 0]}}, 24, (24, 24)),
        ({"preprocess_cfg": {"size": [24, 30], "resize_mode": "squash"}}, (24, 30), None),
    ],
)
def test_open_clip(config: dict[str, Any], size: Any, crop: Any, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    made = ImagePreprocess.from_folder(tmp_path)
    assert (made.size, made.crop, made.round_crop) == (size, crop, True)


def test_an_open_clip_that_pads(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {"resize_mode": "longest"}}))
    with pytest.raises(BadWeights, match="asks for resize_mode longest"):
        ImagePreprocess.from_folder(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"has no preprocessor_config\.json, which says how images are preprocessed"):
        ImagePreprocess.from_folder(tmp_path)


def test_a_long_strip_costs_what_is_kept() -> None:
    """Resized as a whole, its other side would have 22 million pixels."""
    made = ImagePreprocess(size=224, crop=(224, 224))(Image.new("RGB", (1, 100_000), "red"))
    np.testing.assert_array_equal(made.amax((1, 2)), [1, -1, -1])


def test_tensors_become_images() -> None:
    one, two = to_images(torch.tensor([-1.0, 0.2])[:, None, None, None].expand(2, 3, 4, 5))
    assert (one.size, one.getpixel((0, 0)), two.getpixel((4, 3))) == ((5, 4), (0, 0, 0), (153, 153, 153))
