"""Image augmentations that preserve the label, on batches (B, 3, S, S) in [-1, 1].

All randomness comes from the generator passed in.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.scene_renderer import Augment, SceneRenderer

GREY = np.array([0.299, 0.587, 0.114])
"""Luma; ITU-R BT.601."""


def clean(images: EmojiImages, thing: np.ndarray, vendor: np.ndarray) -> Tensor:
    """(B,) things by vendors -> (B, 3, 64, 64), as drawn, on white."""
    plain, white = SceneRenderer(images, augment=Augment(mirror=0, shift=False, scale=0)), np.zeros(len(thing), dtype=int)
    return plain.draw(white, thing, thing, vendor, white, np.random.default_rng(0))


def distort(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the images through a smaller size, then contrast, brightness and white noise."""
    count, side = len(images), images.shape[-1]
    some = torch.from_numpy(np.flatnonzero(rng.random(count) < 0.5))
    small = F.interpolate(images[some], size=int(rng.integers(side // 4, side)), mode="bilinear", antialias=True)
    images = images.index_copy(0, some.to(images.device), F.interpolate(small, size=side, mode="bilinear"))
    per_image = torch.tensor(rng.random((3, count, 1, 1, 1)), dtype=torch.float32, device=images.device)
    contrast, brightness, noise = 0.8 + 0.4 * per_image[0], 0.3 * per_image[1] - 0.15, 0.3 * per_image[2] ** 2
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**62)))
    grain = torch.randn(images.shape, generator=generator, device=images.device)
    return (images * contrast + brightness + grain * noise).clamp(-1, 1)


def warped(images: Tensor, rng: np.random.Generator, turn: float = 12.0, zoom: float = 0.12, move: float = 0.06) -> Tensor:
    """Turned by up to `turn` degrees, each side stretched by up to a factor of exp(`zoom`), moved by a share of the image;
    what comes in from outside is as the edge is."""
    count = len(images)
    angle = np.deg2rad(rng.uniform(-turn, turn, count))
    wide, high = np.exp(rng.uniform(-zoom, zoom, (2, count)))
    x, y = rng.uniform(-2 * move, 2 * move, (2, count))
    cos, sin = np.cos(angle), np.sin(angle)
    lines = np.stack([np.stack((cos * wide, -sin * high, x), 1), np.stack((sin * wide, cos * high, y), 1)], 1)  # (B, 2, 3)
    places = F.affine_grid(
        torch.tensor(lines, dtype=images.dtype, device=images.device), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, places, padding_mode="border", align_corners=False)


def recoloured(images: Tensor, some: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The images of `some`, (B,) bool, in other styles of colour: channels mixed a little, a few shades, or grey."""
    count = len(images)
    mixing = np.eye(3) + rng.normal(0, 0.12, (count, 3, 3))
    mixing[rng.random(count) < 0.1] = GREY
    mixing[~some] = np.eye(3)
    mixed = torch.einsum("bij,bjhw->bihw", torch.tensor(mixing, dtype=images.dtype, device=images.device), images)
    shades = np.where(some & (rng.random(count) < 0.3), rng.integers(3, 8, count), 256)
    half = torch.tensor(shades, dtype=images.dtype, device=images.device)[:, None, None, None] / 2
    return ((mixed * half).round() / half).clamp(-1, 1)


def outlined(images: Tensor, some: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The images of `some`, (B,) bool, with dark contours; half of these are the contours alone on white, as line icons are."""
    across = F.pad((images[..., 1:] - images[..., :-1]).abs(), (0, 1))
    down = F.pad((images[..., 1:, :] - images[..., :-1, :]).abs(), (0, 0, 0, 1))
    slope = torch.maximum(across, down).amax(1, keepdim=True)
    line = F.max_pool2d((2 * slope - 0.3).clamp(0, 1), 3, stride=1, padding=1)  # about two pixels wide
    alone = torch.from_numpy(rng.random(len(images)) < 0.5).to(images.device)[:, None, None, None]
    drawn = torch.where(alone, torch.ones_like(images), images) * (1 - line) - line
    return torch.where(torch.from_numpy(some).to(images.device)[:, None, None, None], drawn, images)


def repainted(images: Tensor, some: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The images of `some`, (B,) bool, in another palette: red, green and blue exchanged, a fifth of these as negatives."""
    order = np.where(some[:, None], rng.permuted(np.tile(np.arange(3), (len(images), 1)), axis=1), np.arange(3))
    sign = np.where(some & (rng.random(len(images)) < 0.2), -1.0, 1.0)
    rows = torch.arange(len(images), device=images.device)[:, None]
    exchanged = images[rows, torch.from_numpy(order).to(images.device)]  # (B, 3, H, W)
    return exchanged * torch.tensor(sign, dtype=images.dtype, device=images.device)[:, None, None, None]
