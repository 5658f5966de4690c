"""Images with captions in every shape that they are read in, and what cannot be read."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.training.data import image_caption_data
from mmgen.training.data.image_caption_data import ImageCaptionPairs, ImagesRecipe

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 images of three colours, each beside its caption, one in a folder of its own, and one without words."""
    place = tmp_path / "set"
    (place / "more").mkdir(parents=True)
    for n in range(60):
        colour = list(COLOURS)[n % 3]
        path = place / ("more" if n == 7 else "") / f"{n:02}.png"
        Image.new("RGB", (40, 30), COLOURS[colour]).save(path)
        path.with_suffix(".txt").write_text(f"a {colour} image\n\n{colour}\n")
    Image.new("RGB", (8, 8)).save(place / "silent.png")
    return place


def listed(folder: Path, path: Path) -> Path:
    rows = [
        {"file": one.relative_to(folder).as_posix(), "caption": one.with_suffix(".txt").read_text().split("\n")[0]}
        for one in sorted(folder.rglob("*.png"))
        if one.with_suffix(".txt").exists()
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for one in folder.rglob("*"):
            archive.write(one, Path("inside") / one.relative_to(folder))
    return path


def test_a_folder(folder: Path) -> None:
    source = image_caption_data.read(folder)
    assert len(source.examples) == 60 and source.examples[0].captions == ("a red image", "red")
    assert [one.name for one in source.examples if "/" in one.name] == ["more/07.png"]


def test_every_shape_gives_the_same_examples(folder: Path, tmp_path: Path) -> None:
    beside = [(Path(one.name).name, one.captions[0]) for one in image_caption_data.read(folder).examples]
    alone = zipped(folder, tmp_path / "set.zip")
    lists = listed(folder, folder / "captions.jsonl")
    for place in (alone, lists, folder, zipped(folder, tmp_path / "listed.zip")):
        source = image_caption_data.read(place)
        assert sorted((Path(one.name).name, one.captions[0]) for one in source.examples) == sorted(beside)
        assert source.read(source.examples[3].name).startswith(b"\x89PNG")


def test_batches_and_what_is_held_out(folder: Path) -> None:
    pairs = ImageCaptionPairs(folder, ImagesRecipe(held_out=0.2), 16)
    held = len(pairs.held_out.captions)
    assert pairs.held_out.pixels.shape == (held, 3, 16, 16) and 0 < held < 30 and held + len(pairs.examples) == 60
    again, shown = (pairs.batch(np.random.default_rng(3), 10, 4) for _ in range(2))
    assert torch.equal(shown.pixels, again.pixels) and torch.equal(shown.captions, again.captions)
    assert shown.pixels.shape == (10, 3, 16, 16) and shown.captions.shape == (14,) and shown.same.diagonal().all()
    said = [pairs.captions[number] for number in shown.captions]
    for row, pixels in enumerate(shown.pixels):
        colour = list(COLOURS)[int(pixels.mean((1, 2)).argmax())]
        assert shown.same[row].tolist() == [colour in text.split() for text in said]


def test_crops_show_a_part_and_mirrors_turn(folder: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    for path in folder.rglob("*.png"):
        Image.fromarray(np.broadcast_to(ramp[None, :, None], (64, 64, 3)).copy()).save(path)
    plain = ImageCaptionPairs(folder, ImagesRecipe(held_out=0.2, smallest=0.25, mirror=0.5), 16)
    shown = plain.batch(np.random.default_rng(0), 40, 0).pixels
    slope = shown[:, 0, 0, -1] - shown[:, 0, 0, 0]
    assert (slope > 0).any() and (slope < 0).any()
    assert slope.abs().min() < 1.3 and slope.abs().max() > 1.5  # of 2: a part of the ramp, and nearly all of it
    torch.testing.assert_close(plain.held_out.pixels[0, 0, 0], torch.linspace(-0.97, 0.97, 16), atol=0.03, rtol=0)


def test_what_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty", tmp_path / "words.txt"
    empty.mkdir()
    text.write_text("nothing")
    with pytest.raises(NotFound, match=r"has no image with a caption: put NAME\.txt beside NAME\.png"):
        image_caption_data.read(empty)
    with pytest.raises(NotFound, match="does not exist; give a folder"):
        image_caption_data.read(tmp_path / "nowhere")
    with pytest.raises(UnreadableFile, match=r"is no folder, \.zip or \.jsonl"):
        image_caption_data.read(text)
    (folder / "00.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UnreadableFile, match=r"00\.txt cannot be read .* UTF-8"):
        image_caption_data.read(folder)
    (folder / "00.txt").write_text("  \n")
    with pytest.raises(UnreadableFile, match=r"00\.txt: the caption is empty"):
        image_caption_data.read(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no object with file and caption"),
        ('{"file": "00.png"}', "line 2: no object with file and caption"),
        ('["00.png", "red"]', "line 2: no object with file and caption"),
        ('{"file": "00.png", "caption": 3}', "line 2: the caption is empty, or neither a text nor several"),
        ('{"file": "00.png", "caption": ["red", ""]}', "line 2: the caption is empty"),
        ('{"file": "00.png", "caption": []}', "line 2: the caption is empty"),
    ],
)
def test_lines_that_cannot_be_read(folder: Path, line: str, message: str) -> None:
    (folder / "list.jsonl").write_text('{"file": "00.png", "caption": "red"}\n' + line + "\n")
    with pytest.raises(UnreadableFile, match=message):
        image_caption_data.read(folder)


def test_images_that_are_not_there_or_no_images(folder: Path, tmp_path: Path) -> None:
    lists = listed(folder, folder / "list.jsonl")
    (folder / "01.png").unlink()
    with pytest.raises(NotFound, match=r"01\.png does not exist; the captions name it"):
        for seed in range(20):
            ImageCaptionPairs(lists, ImagesRecipe(held_out=0.2), 16).batch(np.random.default_rng(seed), 40, 0)
    archive = zipped(folder, tmp_path / "set.zip")
    source = image_caption_data.read(archive)
    with pytest.raises(NotFound, match=r"set\.zip has no inside/01\.png"):
        source.read("01.png")
    for path in folder.rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(UnreadableFile, match="is no image"):
        ImageCaptionPairs(folder / "list.jsonl", ImagesRecipe(held_out=0.2), 16)
    (folder / "another.jsonl").write_text("{}")
    with pytest.raises(BadRequest, match=r"has several lists, another\.jsonl, list\.jsonl"):
        image_caption_data.read(folder)


def test_too_few_to_hold_any_out(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    (tmp_path / "one.txt").write_text("one")
    with pytest.raises(BadRequest, match=r"has 1 images with captions, . of them held out; give more"):
        ImageCaptionPairs(tmp_path, ImagesRecipe(), 16)
