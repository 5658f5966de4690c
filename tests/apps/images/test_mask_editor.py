"""What was dropped and painted: an image, a mask of the paint, and files that a recipe can name."""

from pathlib import Path

import pytest
from PIL import Image

from apps.images import mask_editor
from mmgen.errors import BadRequest

RED = Image.new("RGBA", (8, 6), "red")


def paint(*places: tuple[int, int], size: tuple[int, int] = (8, 6)) -> Image.Image:
    layer = Image.new("RGBA", size)
    for place in places:
        layer.putpixel(place, (245, 158, 11, 90))
    return layer


@pytest.mark.parametrize("edited", [None, {}, {"background": None}, {"background": Image.new("RGBA", (8, 6)), "layers": []}])
def test_nothing_dropped_is_no_image(edited: mask_editor.Edited) -> None:
    assert mask_editor.begun(edited) is None and mask_editor.painted(edited) is None


def test_the_mask_is_white_where_paint_is() -> None:
    mask = mask_editor.painted({"background": RED, "layers": [paint((1, 2)), paint((7, 5))]})
    assert mask is not None and mask.mode == "L"
    white = {(x, y) for x in range(8) for y in range(6) if mask.getpixel((x, y)) == 255}
    assert white == {(1, 2), (7, 5)}


def test_no_paint_is_no_mask() -> None:
    assert mask_editor.painted({"background": RED, "layers": [paint()]}) is None
    found = mask_editor.begun({"background": RED, "layers": []})
    assert found is not None and found.mode == "RGB" and found.getpixel((0, 0)) == (255, 0, 0)


def test_paint_of_another_size_is_told() -> None:
    with pytest.raises(BadRequest, match="paint is 4 x 4 pixels, the image 8 x 6"):
        mask_editor.painted({"background": RED, "layers": [paint((0, 0), size=(4, 4))]})


def test_a_kept_image_has_one_file(tmp_path: Path) -> None:
    one, two = mask_editor.kept(RED.convert("RGB"), tmp_path), mask_editor.kept(RED.convert("RGB"), tmp_path)
    assert one == two and one is not None and list(tmp_path.iterdir()) == [one]
    assert mask_editor.kept(None, tmp_path) is None
