import pytest
import torch
import torch.nn.functional as F

from mmgen.models.diffusion.upscalers import palette
from mmgen.models.diffusion.upscalers.image_upscaler import ImageUpscaler
from mmgen.models.diffusion.upscalers.palette import PaletteNet


def made(width: int = 8, blocks: int = 2, scale: int = 4) -> PaletteNet:
    torch.manual_seed(0)
    return PaletteNet(width, blocks, scale).eval().requires_grad_(False)


def test_every_pixel_mixes_the_colours_around_it() -> None:
    """The naive twin of the mixture."""
    image, share = torch.rand(1, 3, 4, 5), torch.rand(1, 9, 4, 4, 5)
    out = palette.mixed(palette.neighbours(image), share, 2)
    assert out.shape == (1, 3, 8, 10)
    for y, x in ((2, 2), (3, 5), (5, 7)):
        inner, around = y % 2 * 2 + x % 2, [(y // 2 + dy, x // 2 + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        expected = sum(share[0, k, inner, y // 2, x // 2] * image[0, :, b, a] for k, (b, a) in enumerate(around))
        assert torch.allclose(out[0, :, y, x], expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shares_of_bilinear_interpolation(scale: int) -> None:
    image = torch.rand(2, 3, 5, 6)
    share = palette.bilinear(scale)[None, :, :, None, None].expand(2, -1, -1, 5, 6)
    larger = F.interpolate(image, scale_factor=float(scale), mode="bilinear")
    assert torch.allclose(palette.mixed(palette.neighbours(image), share, scale), larger, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (7, 9)])
def test_the_same_bits_alone_and_in_a_batch(height: int, width: int) -> None:
    upscaler = ImageUpscaler(made(16), 4)
    images = torch.rand(3, 3, height, width) * 2 - 1
    together = upscaler.decode(images)
    assert all(torch.equal(upscaler.decode(one[None])[0], big) for one, big in zip(images, together, strict=True))


def test_shape_read_from_its_tensors() -> None:
    network = made(8, 0, 3)
    found = palette.made_of({name: tensor.half() for name, tensor in network.state_dict().items()})
    assert found is not None and (found.scale, len(found.blocks)) == (3, 0)
    assert found(torch.rand(1, 3, 4, 4)).shape == (1, 3, 12, 12)
    assert palette.made_of({"first.weight": torch.zeros(1)}) is None
