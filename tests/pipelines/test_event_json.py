"""What events are as JSON, and back."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.pipelines import event_json
from mmgen.pipelines.event_json import DrawnFile, DrawnFiles


@dataclass(frozen=True)
class Inner:
    at: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    inner: list[Inner]
    note: str | None = None


def test_dataclasses_go_and_come() -> None:
    value = Outer([Inner((1, 2)), Inner(())])
    assert event_json.rebuilt(Outer, json.loads(json.dumps(value, default=event_json.plain))) == value
    assert event_json.rebuilt(DrawnFiles, {"seeds": [1]}).to_dict() == {"seeds": [1]}


def test_an_image_goes_as_a_file(tmp_path: Path) -> None:
    class Finished:
        index, seed = 1, 7

        def png(self) -> bytes:
            file = io.BytesIO()
            Image.new("RGB", (2, 3), "red").save(file, "PNG")
            return file.getvalue()

    drawn = event_json.rebuilt(DrawnFile, json.loads(json.dumps(Finished(), default=event_json.plain)))
    assert (drawn.index, drawn.seed, drawn.image.size) == (1, 7, (2, 3))
    drawn.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == base64.b64decode(drawn.png) == Finished().png()
    with pytest.raises(BadRequest, match="cannot be written"):
        drawn.save(tmp_path / "gone" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
