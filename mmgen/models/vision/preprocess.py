"""Image preprocessing: resized, cropped and normalised as the checkpoint's own processor does, with equal values.

Pillow and numpy only, on one thread, so that several images can be prepared in parallel threads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
CROPPED = {
    "size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True, "resample": 3, "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}  # fmt: skip
SQUASHED = {
    "size": {"height": 224, "width": 224},
    "do_center_crop": False,
    "resample": 3,
    "image_mean": HALF,
    "image_std": HALF,
}
PROCESSORS: dict[str, Mapping[str, Any]] = {
    "CLIP": CROPPED,
    "Bit": CROPPED,
    "Siglip": SQUASHED,
    "ViT": {**SQUASHED, "resample": 2},
}
"""Defaults of transformers' image processors, for keys that their file leaves out."""
OF_MODELS = {"clip": "CLIP", "siglip": "Siglip", "vit": "ViT", "dinov2": "Bit"}
FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3}
STRIP = 8
"""Where the resized image would have more than so many times the crop's area (long strips), only the crop is resampled. The
result can differ by one level of 255."""


@dataclass(frozen=True)
class ImagePreprocess:
    """Parameters of the preprocessing. The defaults are those of mmgen's own models."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a file is loaded

    size: int | tuple[int, int] | None  # pixels of the shorter side, or (height, width); None: no resizing
    crop: tuple[int, int] | None = None  # (height, width) of a center crop, zero-padded
    resample: int = 3  # PIL.Image.Resampling
    factor: float = 1 / 255  # that 8-bit values are multiplied with
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    round_crop: bool = False  # True: the crop's corner is rounded as in torchvision; False: down

    @classmethod
    def from_folder(cls, folder: Path) -> ImagePreprocess:
        """From a checkpoint's preprocessor_config.json, processor_config.json or, of open_clip, open_clip_config.json.

        Raises BadWeights where there is none, or where it asks for something that is not implemented.
        """
        path, nested = folder / "preprocessor_config.json", folder / "processor_config.json"
        own = folder / "open_clip_config.json"
        if path.is_file():
            return _transformers(read_json(path), path)
        if nested.is_file() and "image_processor" in (values := read_json(nested)):
            return _transformers(values["image_processor"], nested)
        if own.is_file():
            values = read_json(own)
            return _open_clip(values.get("preprocess_cfg", {}), values.get("model_cfg", {}).get("vision_cfg", {}), own)
        raise BadWeights(f"{folder} has no {path.name}, which says how images are preprocessed; copy or download it again")

    def __call__(self, image: Image.Image) -> Tensor:
        """-> (3, H, W) float32. All images get one size if `crop` or both sides of `size` are given."""
        pixels = self._cropped(rgb(image))  # (H, W, 3)
        scale = np.float32(self.factor) / np.asarray(self.std, dtype=np.float32)
        shift = np.asarray(self.mean, dtype=np.float32) / np.asarray(self.std, dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray((pixels * scale - shift).transpose(2, 0, 1)))

    def _cropped(self, image: Image.Image) -> np.ndarray:
        width, height = self._resized(image)
        how = Image.Resampling(self.resample)
        if self.crop is None:
            return np.asarray(image if self.size is None else image.resize((width, height), how))
        left, top = (self._corner(have, want) for have, want in ((width, self.crop[1]), (height, self.crop[0])))
        right, bottom = left + self.crop[1], top + self.crop[0]
        if self.size is not None and width * height > STRIP * self.crop[0] * self.crop[1] and left >= 0 and top >= 0:
            x, y = image.width / width, image.height / height  # source pixels per target pixel
            box = (left * x, top * y, min(right * x, image.width), min(bottom * y, image.height))
            return np.asarray(image.resize(self.crop[::-1], how, box))
        whole = np.asarray(image if self.size is None else image.resize((width, height), how))
        return whole[top:bottom, left:right] if left >= 0 and top >= 0 else _padded(whole, self.crop)

    def _resized(self, image: Image.Image) -> tuple[int, int]:
        """Width and height of the resized image, before the crop."""
        if self.size is None:
            return image.size
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        short, long = sorted(image.size)
        other = int(self.size * long / short)
        return (self.size, other) if image.width <= image.height else (other, self.size)

    def _corner(self, have: int, want: int) -> int:
        return round((have - want) / 2) if self.round_crop else (have - want) // 2


def rgb(image: Image.Image) -> Image.Image:
    """In RGB; transparent images are composited onto white, as in transformers."""
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def to_images(pixels: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> 8-bit RGB images."""
    values = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(one) for one in values]


def _padded(pixels: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    """Center crop of (H, W, 3), zero-padded where a side is shorter than the crop's."""
    for axis, want in enumerate(crop):
        have = pixels.shape[axis]
        first = max(0, (have - want) // 2)
        pixels = pixels.take(range(first, first + min(have, want)), axis)
        before = -((have - want) // 2) if have < want else 0
        widths = [(0, 0)] * 3
        widths[axis] = (before, want - pixels.shape[axis] - before)
        pixels = np.pad(pixels, widths)
    return pixels


def _transformers(values: Mapping[str, Any], path: Path) -> ImagePreprocess:
    named = str(values.get("image_processor_type") or values.get("feature_extractor_type") or _by_model(path.parent))
    name = re.sub(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", named)
    if name not in PROCESSORS:
        raise BadWeights(f"{path} names the image processor {named}; supported are {', '.join(PROCESSORS)}")
    values = {**PROCESSORS[name], **{key: value for key, value in values.items() if value is not None}}
    size = values["size"]
    if isinstance(size, int):
        size = {"height": size, "width": size} if name == "ViT" else {"shortest_edge": size}
    try:
        sides = size["shortest_edge"] if set(size) == {"shortest_edge"} else (size["height"], size["width"])
        normal = values.get("do_normalize", True)
        return ImagePreprocess(
            size=sides if values.get("do_resize", True) else None,
            crop=_sides(values["crop_size"]) if values["do_center_crop"] else None,
            resample=values["resample"],
            factor=values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0,
            mean=tuple(values["image_mean"]) if normal else (0.0, 0.0, 0.0),
            std=tuple(values["image_std"]) if normal else (1.0, 1.0, 1.0),
        )
    except (KeyError, TypeError) as why:
        raise BadWeights(f"{path} has an unsupported size ({why}); give shortest_edge, or height and width") from None


def _by_model(folder: Path) -> str:
    path = folder / "config.json"
    return OF_MODELS.get(str(read_json(path).get("model_type")) if path.is_file() else "", "unknown")


def _open_clip(values: Mapping[str, Any], vision: Mapping[str, Any], path: Path) -> ImagePreprocess:
    """open_clip's image_transform for inference; the crop is torchvision's."""
    side = values.get("size") or vision.get("image_size", 224)
    sides, mode = _sides(side), values.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash") or (mode == "shortest" and sides[0] != sides[1]):
        raise BadWeights(f"{path} asks for resize_mode {mode} to {side}; supported are shortest, to a square, and squash")
    return ImagePreprocess(
        size=sides[0] if mode == "shortest" else sides,
        crop=sides if mode == "shortest" else None,
        resample=FILTERS.get(values.get("interpolation", "bicubic"), 3),
        mean=tuple(values.get("mean", CLIP_MEAN)),
        std=tuple(values.get("std", CLIP_STD)),
        round_crop=True,
    )


def _sides(value: Any) -> tuple[int, int]:
    """(height, width)"""
    if isinstance(value, int):
        return value, value
    height, width = (value["height"], value["width"]) if isinstance(value, Mapping) else value
    return int(height), int(width)
