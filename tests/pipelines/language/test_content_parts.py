"""Contents of messages as people write them: OpenAI's parts, those of transformers, and what is none."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.pipelines.language import content_parts


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


IMAGE = Image.new("RGBA", (3, 2), (255, 0, 0, 0))
URL = f"data:image/png;base64,{base64.b64encode(png(IMAGE)).decode()}"


def test_a_text_stays_a_text() -> None:
    assert content_parts.read("a") == "a" and content_parts.with_images("a", ()) == "a"
    assert content_parts.read([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "system") == "a\nb"


def test_images_of_every_kind_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(IMAGE))
    given: list[Any] = [
        {"type": "image", "image": IMAGE}, {"type": "image", "image": path},
        {"type": "image", "path": str(path)},
        {"type": "image_url", "image_url": {"url": URL}}, {"type": "image_url", "image_url": URL},
        {"type": "text", "text": "x"},
    ]  # fmt: skip
    read = content_parts.read(given)
    assert [one.getpixel((0, 0)) for one in content_parts.images(read)] == [(255, 255, 255)] * 5
    assert content_parts.text(read) == "x"
    assert content_parts.read(content_parts.with_images("x", [path]))[1] == {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"type": "audio", "audio": "a.wav"}, "is no part of a message; give"),
        ("a", "is no part of a message; give"),
        ({"type": "image"}, "is no part of a message; give"),
        ({"type": "image", "image": 3}, "an image is a int; give a file"),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "is not fetched; give the file itself"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}, "holds no base64"),
    ],
)
def test_what_is_no_part(part: Any, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        content_parts.read([part])


def test_images_that_cannot_be_read() -> None:
    with pytest.raises(NotFound, match=r"image gone\.png does not exist"):
        content_parts.read([{"type": "image", "image": "gone.png"}])
    with pytest.raises(UnreadableFile, match="the image is no image"):
        content_parts.read([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}])
    with pytest.raises(BadRequest, match="stands in a message of the role assistant; give it in one of the user's"):
        content_parts.read([{"type": "image", "image": IMAGE}], "assistant")
