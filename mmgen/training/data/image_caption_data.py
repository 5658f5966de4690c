"""Image-caption pairs from a folder, a zip or JSON lines.

- a folder (or zip) of images, each beside a .txt of the same name, a caption a line;
- a .jsonl whose lines have "file" and "caption" (a text or several), or a folder or zip with one in it; files are beside it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.ingest import image_files
from mmgen.ingest.image_files import SUFFIXES
from mmgen.training.data.pair_protocol import HeldOut, PairBatch

TAGS = 10_000
"""Captions that a model keeps, of those that there are."""


class ImagesRecipe(Config):
    """The `images` section of a CLIP recipe."""

    held_out: float = Field(default=0.05, gt=0, lt=1)  # share of the images, chosen by their names
    judged: int = Field(default=2000, ge=1)  # of which recall is measured on so many
    smallest: float = Field(default=0.5, gt=0, le=1)  # share of an image that a crop shows at least
    mirror: float = Field(default=0.0, ge=0, le=1)  # chance; captions may speak of left and right


@dataclass(frozen=True)
class CaptionedImage:
    """An image and what is true of it."""

    name: str  # of the file
    captions: tuple[str, ...]


@dataclass(frozen=True)
class ImageSource:
    """Examples, and how their files are read."""

    examples: list[CaptionedImage]
    read: Callable[[str], bytes]


class ImageCaptionPairs:
    """Files are decoded anew every time, in threads; nothing but captions is kept."""

    def __init__(self, place: Path, recipe: ImagesRecipe, side: int) -> None:
        """Raises NotFound, UnreadableFile, and BadRequest for data of which nothing is left to train on."""
        source = read(place)
        self.recipe, self.side, self.source = recipe, side, source
        held = [one for one in source.examples if _fraction(one.name) < recipe.held_out]
        self.examples = [one for one in source.examples if _fraction(one.name) >= recipe.held_out]
        if not held or not self.examples:
            raise BadRequest(
                f"{place} has {len(source.examples)} images with captions, {len(held)} of them held out; give more of them"
            )
        self.captions = list(dict.fromkeys(text for one in self.examples for text in one.captions))
        self.tags = sorted(self.captions, key=_fraction)[:TAGS]
        numbers = {text: number for number, text in enumerate(self.captions)}
        self.own = [[numbers[text] for text in one.captions] for one in self.examples]
        self.threads = ThreadPoolExecutor()
        judged = held[: recipe.judged]
        whole = self.threads.map(lambda one: self._pixels(one.name, None), judged)
        self.held_out = HeldOut(torch.stack(list(whole)), [one.captions[0] for one in judged])

    def batch(self, rng: np.random.Generator, count: int, more: int) -> PairBatch:
        shown, others = rng.integers(0, len(self.examples), (2, count + more))
        picked = [self.own[number][int(rng.integers(len(self.own[number])))] for number in (*shown[:count], *others[count:])]
        crops = [self._crop(rng) for _ in range(count)]
        names = [self.examples[number].name for number in shown[:count]]
        pixels = torch.stack(list(self.threads.map(self._pixels, names, crops)))
        flip = torch.from_numpy(rng.random(count) < self.recipe.mirror)
        pixels = torch.where(flip[:, None, None, None], pixels.flip(-1), pixels)
        captions = np.array(picked)
        true_of = [np.isin(captions, self.own[number]) for number in shown[:count]]
        return PairBatch(pixels, torch.from_numpy(captions), torch.from_numpy(np.stack(true_of)))

    def _crop(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Left and upper corner as shares of what is left over, and the side as a share of the image's."""
        share = float(rng.uniform(self.recipe.smallest, 1) ** 0.5)
        return float(rng.random()), float(rng.random()), share

    def _pixels(self, name: str, crop: tuple[float, float, float] | None) -> Tensor:
        """(3, S, S) in [-1, 1]; the whole image squashed, as the exported model sees it, or a part of it."""
        image = image_files.rgb(image_files.decode(self.source.read(name), name))
        box = None
        if crop is not None:
            x, y, share = crop
            width, height = max(1.0, share * image.width), max(1.0, share * image.height)
            left, upper = x * (image.width - width), y * (image.height - height)
            box = (left, upper, left + width, upper + height)
        small = image.resize((self.side, self.side), Image.Resampling.BICUBIC, box)
        return torch.from_numpy(np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1)


def read(place: Path) -> ImageSource:
    """What is there, in the order of its names or lines. Raises NotFound and UnreadableFile."""
    if place.suffix == ".jsonl":
        return ImageSource(_listed(_bytes(place), place.name, place), lambda name: _bytes(place.parent / name))
    if place.is_dir():
        names = [path.relative_to(place).as_posix() for path in sorted(place.rglob("*")) if path.is_file()]
        return _source(names, lambda name: _bytes(place / name), place)
    if not place.is_file():
        raise NotFound(f"{place} does not exist; give a folder, a .zip or a .jsonl")
    try:
        archive = zipfile.ZipFile(place)
    except (OSError, zipfile.BadZipFile) as why:
        raise UnreadableFile(f"{place} is no folder, .zip or .jsonl of images with captions ({why})") from None
    return _source(sorted(one.filename for one in archive.infolist() if not one.is_dir()), _of(archive, place), place)


def _source(names: list[str], get: Callable[[str], bytes], place: Path) -> ImageSource:
    lists = [name for name in names if name.endswith(".jsonl")]
    if len(lists) > 1:
        raise BadRequest(f"{place} has several lists, {', '.join(lists[:3])}; give the one that is meant")
    if lists:
        within = PurePosixPath(lists[0]).parent
        return ImageSource(_listed(get(lists[0]), lists[0], place), lambda name: get(str(within / name)))
    examples = list(_beside(names, get, place))
    if not examples:
        raise NotFound(
            f"{place} has no image with a caption: put NAME.txt beside NAME.png, or a .jsonl of lines with file and caption"
        )
    return ImageSource(examples, get)


def _beside(names: list[str], get: Callable[[str], bytes], place: Path) -> Iterator[CaptionedImage]:
    """Images with a .txt of their name; what has none is passed over."""
    there = set(names)
    for name in names:
        path = PurePosixPath(name)
        written = str(path.with_suffix(".txt"))
        if path.suffix.lower().lstrip(".") in SUFFIXES and written in there:
            lines = _text(get(written), f"{place}: {written}").splitlines()
            yield CaptionedImage(name, _captions([line for line in lines if line.strip()], f"{place}: {written}"))


def _listed(data: bytes, name: str, place: Path) -> list[CaptionedImage]:
    where = f"{place}: {name}" if place.name != name else str(place)
    out = []
    for number, line in enumerate(_text(data, where).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            file, caption = row["file"], row["caption"]
        except (ValueError, KeyError, TypeError) as why:
            raise UnreadableFile(f"{where}, line {number}: no object with file and caption ({why!r})") from None
        out.append(
            CaptionedImage(str(file), _captions([caption] if isinstance(caption, str) else caption, f"{where}, line {number}"))
        )
    if not out:
        raise UnreadableFile(f"{where} is empty; each line should be an object with file and caption")
    return out


def _captions(given: object, where: str) -> tuple[str, ...]:
    texts = [" ".join(text.split()) for text in given if isinstance(text, str)] if isinstance(given, list) else []
    if not texts or not all(texts) or len(texts) != len(given):  # type: ignore[arg-type]
        raise UnreadableFile(f"{where}: the caption is empty, or neither a text nor several; write what the image shows")
    return tuple(dict.fromkeys(texts))


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise UnreadableFile(f"{where} cannot be read ({why}); it should be text in UTF-8") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist; the captions name it") from None
    except OSError as why:
        raise UnreadableFile(f"{path} cannot be read ({why})") from None


def _of(archive: zipfile.ZipFile, place: Path) -> Callable[[str], bytes]:
    def get(name: str) -> bytes:
        try:
            return archive.read(name)
        except KeyError:
            raise NotFound(f"{place} has no {name}; the captions name it") from None
        except (OSError, zipfile.BadZipFile, RuntimeError) as why:  # RuntimeError: it wants a password
            raise UnreadableFile(f"{place}: {name} cannot be read ({why}); pack it anew") from None

    return get


def _fraction(name: str) -> float:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") / 2**64
