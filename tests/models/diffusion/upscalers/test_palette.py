import pytest
import torch
import torch.nn.functional as F

from mmgen.models.diffusion.upscalers import palette
from mmgen.models.diffusion.upscalers.image_upscaler import ImageUpscaler
from mmgen.models.diffusion.upscalers.palette import PaletteNet


def made(width: int = 8, blocks: int = 2, colours: int = 3, scale: int = 4) -> PaletteNet:
    torch.manual_seed(0)
    return PaletteNet(width, blocks, colours, scale).eval().requires_grad_(False)


def test_every_pixel_mixes_the_colours_of_its_place() -> None:
    """The naive twin of the mixture."""
    colours, share = torch.rand(1, 2, 3, 2, 2), torch.rand(1, 2, 6, 6)
    out = palette.mixed(colours, share, 3)
    assert out.shape == (1, 3, 6, 6)
    for y, x in ((0, 0), (2, 3), (5, 5)):
        expected = sum(share[0, k, y, x] * colours[0, k, :, y // 3, x // 3] for k in range(2))
        assert torch.allclose(out[0, :, y, x], expected)


def test_an_image_of_one_colour_keeps_it_where_the_palette_adds_nothing() -> None:
    network = made()
    for parameter in network.colours.parameters():
        parameter.zero_()
    image = torch.rand(1, 3, 1, 1).expand(-1, -1, 6, 5)
    assert torch.allclose(network(image), F.interpolate(image, scale_factor=4.0), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (7, 9)])
def test_the_same_bits_alone_and_in_a_batch(height: int, width: int) -> None:
    upscaler = ImageUpscaler(made(16), 4)
    images = torch.rand(3, 3, height, width) * 2 - 1
    together = upscaler.decode(images)
    assert all(torch.equal(upscaler.decode(one[None])[0], big) for one, big in zip(images, together, strict=True))


def test_shape_read_from_its_tensors() -> None:
    network = made(8, 0, 2, 3)
    found = palette.made_of({name: tensor.half() for name, tensor in network.state_dict().items()})
    assert found is not None and (found.scale, len(found.blocks)) == (3, 0)
    assert found(torch.rand(1, 3, 4, 4)).shape == (1, 3, 12, 12)
    assert palette.made_of({"first.weight": torch.zeros(1)}) is None
