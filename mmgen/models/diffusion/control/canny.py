"""Edges of an image, as OpenCV's `Canny` finds them with L1 gradients. Torch-free.

Canny 1986, A Computational Approach to Edge Detection: gradients, their ridges, and hysteresis between two thresholds.
"""

from __future__ import annotations

import numpy as np

LOW, HIGH = 100, 200
"""Thresholds of A1111's and diffusers' examples."""
TAN_22 = 13573  # tan(22.5 degrees) in units of 2 ** -15


def edges(image: np.ndarray, low: int = LOW, high: int = HIGH) -> np.ndarray:
    """(H, W) or (H, W, C) uint8 -> (H, W) uint8: 255 on an edge, 0 elsewhere.

    A pixel's gradient is that of the channel in which it is steepest. A ridge is an edge where it is steeper than `high`, or
    steeper than `low` and touches an edge.
    """
    dx, dy = _gradient(image.reshape(*image.shape[:2], -1).astype(np.int32))
    steep = np.abs(dx) + np.abs(dy)
    ridge = _ridges(dx, dy, steep) & (steep > low)
    return _connected(ridge, ridge & (steep > high)).astype(np.uint8) * 255


def _gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's, (H, W, C) -> x and y, (H, W) each, of the channel with the largest |x| + |y|; the rim is repeated."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")

    def moved(down: int, right: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    dx = sum(weight * (moved(n, 1) - moved(n, -1)) for n, weight in ((-1, 1), (0, 2), (1, 1)))
    dy = sum(weight * (moved(1, n) - moved(-1, n)) for n, weight in ((-1, 1), (0, 2), (1, 1)))
    chosen = np.argmax(np.abs(dx) + np.abs(dy), axis=2)[:, :, None]
    return np.take_along_axis(dx, chosen, 2)[:, :, 0], np.take_along_axis(dy, chosen, 2)[:, :, 0]


def _ridges(dx: np.ndarray, dy: np.ndarray, steep: np.ndarray) -> np.ndarray:
    """Where the gradient is the largest along its direction, in steps of 45 degrees. Beyond the rim it is 0."""
    height, width = steep.shape
    padded = np.pad(steep, 1)

    def moved(down: int, right: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    x, y = np.abs(dx).astype(np.int64), np.abs(dy).astype(np.int64) << 15
    flat = y < x * TAN_22
    upright = y > x * TAN_22 + (x << 16)
    falling = (dx ^ dy) < 0  # of unlike signs
    across = (steep > moved(0, -1)) & (steep >= moved(0, 1))
    along = (steep > moved(-1, 0)) & (steep >= moved(1, 0))
    rising = (steep > moved(-1, -1)) & (steep > moved(1, 1))
    other = (steep > moved(-1, 1)) & (steep > moved(1, -1))
    return np.where(flat, across, np.where(upright, along, np.where(falling, other, rising)))


def _connected(ridge: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """The sure ones, and every ridge that touches one by a chain of ridges, corners counted. Each pixel is visited once."""
    waiting, found = np.pad(ridge & ~sure, 1).ravel(), np.pad(sure, 1).ravel()
    width = ridge.shape[1] + 2
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    front = np.flatnonzero(found)
    while len(front):
        near = np.unique(front[:, None] + around)
        front = near[waiting[near]]
        waiting[front], found[front] = False, True
    return found.reshape(-1, width)[1:-1, 1:-1]
