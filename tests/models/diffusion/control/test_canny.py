"""Edges: OpenCV's to the bit, on grey and coloured images of any size."""

import numpy as np
import pytest

from mmgen.models.diffusion.control import canny


def scene(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Smooth shapes with some noise, so that there are long weak edges and short strong ones."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / draw.uniform(3, 12) + y / draw.uniform(3, 12)) for _ in range(max(1, channels))]
    image = np.stack(waves, -1) * 100 + 128 + draw.normal(0, 6, (height, width, max(1, channels)))
    return (image if channels else image[:, :, 0]).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "channels"), [(64, 48, 3), (33, 70, 0), (5, 9, 1), (1, 7, 3), (40, 40, 4)])
def test_equals_opencv(height: int, width: int, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = scene(height, width, channels)
    for low, high in ((canny.LOW, canny.HIGH), (30, 300), (0, 10)):
        ours = canny.edges(image, low, high)
        assert ours.dtype == np.uint8 and np.array_equal(ours, cv2.Canny(image, low, high)), (low, high)


def test_a_square_has_its_outline() -> None:
    image = np.zeros((12, 12, 3), np.uint8)
    image[4:9, 4:9] = 255
    found = canny.edges(image)
    assert found.max() == 255 and found[6, 6] == 0 and not found[:2].any()
    assert {int(column) for column in np.flatnonzero(found[6])} <= {3, 4, 8, 9}
