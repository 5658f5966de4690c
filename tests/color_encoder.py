"""An image encoder that a plugin brings: colours of a grid of 2 x 2, and words for colours. What is near is plain to see."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

WORDS = {
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "white": (255, 255, 255),
    "black": (0, 0, 0), "orange": (255, 128, 0), "pink": (255, 0, 255),
}  # fmt: skip


class Colours:
    """What `mmgen.clients.image_encoder` asks of a model."""

    name, dimension, labels, weights, text_weights, independent = "colours", 12, (), 1, 1, False
    config = SimpleNamespace(tokens=4)

    def __init__(self, name: str = "colours") -> None:
        self.name = name
        self.seen: list[tuple[int, int]] = []  # sizes of the images that came
        self.read: list[str] = []

    def row(self, image: Image.Image) -> np.ndarray:
        """(4, 3) in [-1, 1]"""
        assert image.mode == "RGB"
        self.seen.append(image.size)
        return np.asarray(image.resize((2, 2), Image.Resampling.BOX), dtype=np.float32).reshape(4, 3) / 127.5 - 1

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        self.read.extend(texts)
        return [re.findall(r"\w+", text.lower()) or [""] for text in texts]

    def embed_image_rows(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return unit(np.stack([row.reshape(-1) for row in rows]))

    def embed_rows(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        found = [sum((np.array(WORDS[word]) / 127.5 - 1 for word in row if word in WORDS), np.full(3, 1e-3)) for row in rows]
        return unit(np.stack([np.tile(one, 4) for one in found]).astype(np.float32))

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self.embed_image_rows([self.row(image) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed_rows(self.tokenize(texts))

    def logits(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = 10 * images @ texts.T
        return scaled

    def score(self, images: Any, texts: Sequence[str]) -> Any:
        raise NotImplementedError


def unit(vectors: np.ndarray) -> np.ndarray:
    normal: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normal


def drawn(path: Path, *colours: str, size: int = 48, **more: Any) -> Path:
    """An image of one colour, or of two, left and right; with a mark that gives it a hash of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (size, size), WORDS[colours[0]])
    if len(colours) > 1:
        image.paste(WORDS[colours[1]], (size // 2, 0, size, size))
    image.save(path, **more)
    return path


@pytest.fixture
def colours(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, plug: Callable[..., None]) -> Path:
    """The folder of such a model, its plugin installed."""
    from mmgen.builtin import register

    module: Any = ModuleType("coloured")
    module.load = lambda folder, device, name: Colours(name)
    monkeypatch.setitem(sys.modules, "coloured", module)
    plug(builtin=register, coloured=lambda mm: mm.image_encoders.add("colours", "coloured:load"))
    folder = tmp_path_factory.mktemp("colours")
    (folder / "config.json").write_text('{"model_type": "colours"}')
    from safetensors.numpy import save_file

    save_file({"nothing": np.zeros(1)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def painter(colours: Path, tiny_encoder: Path, tiny_reader: Path, tmp_path: Path) -> "Iterator[Runtime]":
    """A runtime that sees colours and reads nothing well."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    config = RuntimeConfig(
        home=tmp_path / "home", device="cpu", encoder=str(tiny_encoder), reader=str(tiny_reader), image_encoder=str(colours)
    )
    with Runtime(config) as rt:
        yield rt


@pytest.fixture
def colour_home(tiny_home: Path, colours: Path) -> Path:
    """MMGEN_HOME with the tiny models and eyes for colours."""
    with (tiny_home / "config.yaml").open("a") as file:
        file.write(f"image_encoder: {colours}\n")
    return tiny_home
