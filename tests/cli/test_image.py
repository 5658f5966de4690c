"""`mmgen image` and `mmgen zero-shot` as people use them, with eyes for colours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_call import MMGEN, Call
from color_encoder import drawn
from PIL import Image

pytestmark = pytest.mark.usefixtures("colour_home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drawn(tmp_path / "p" / "apple.png", "red")
    drawn(tmp_path / "p" / "sea.jpg", "blue")
    drawn(tmp_path / "p" / "flag.webp", "red", "blue")
    return tmp_path / "p"


def test_a_first_session(call: Call, folder: Path, tmp_path: Path, colour_home: Path) -> None:
    added = call("image", "add", folder)
    assert added.code == 0 and added.out.startswith("3 images added in ") and added.err == ""
    assert (colour_home / "stores" / "default" / "store.sqlite").is_file()
    found = call("image", "search", "red", "-k", 2).out.splitlines()
    assert found[0].startswith("1. ") and found[0].endswith(str(folder / "apple.png")) and len(found) == 2
    like = call("image", "search", "--image", folder / "sea.jpg", "-k", 1).out
    assert like.startswith("1. 1.000  ") and like.strip().endswith("sea.jpg")
    both = call("image", "search", "blue", "--image", folder / "apple.png", "-k", 1)
    assert both.out.strip().endswith("flag.webp")
    listed = call("image", "list").out.splitlines()
    assert listed[0].split() == ["size", "taken", "image"] and listed[1].split() == [
        "48",
        "x",
        "48",
        str(folder / "apple.png"),
    ]
    assert call("image", "remove", "apple.png").out == f"removed {folder / 'apple.png'}\n"
    assert len(call("image", "list").out.splitlines()) == 3 and (folder / "apple.png").is_file()
    assert "unchanged" in call("image", "add", folder).out


def test_as_json(call: Call, folder: Path) -> None:
    report = json.loads(call("image", "add", folder, "--json", "--meta", "album=summer").out)
    assert len(report["added"]) == 3
    (hit,) = json.loads(call("image", "search", "blue", "-k", 1, "--where", "album=summer", "--json").out)
    assert hit["uri"] == str(folder / "sea.jpg") and hit["metadata"]["album"] == "summer" and hit["scores"]["text"] > 0.9
    assert len(json.loads(call("image", "list", "--json").out)) == 3
    assert json.loads(call("image", "search", "blue", "--where", "album=winter", "--json").out) == []
    assert call("image", "search", "blue", "--where", "album=winter").err == "nothing found\n"


def test_a_contact_sheet(call: Call, folder: Path, tmp_path: Path) -> None:
    call("image", "add", folder)
    made = call("image", "search", "red", "--sheet", tmp_path / "out.png")
    assert made.out.splitlines()[-1] == str(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as sheet:
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20) or []}
    assert any(colour[0] > 240 and max(colour[1:]) < 15 for colour in colours)  # type: ignore[index, call-overload]
    refused = call("image", "search", "red", "--sheet", tmp_path / "out.jpg")
    assert refused.code == 2 and refused.err.startswith("error: ") and "ends with .png" in refused.err
    assert call("image", "search", "red", "--sheet", tmp_path / "a" / "b" / "out.png").code == 2


def test_what_is_left_out_is_told(call: Call, folder: Path) -> None:
    shutil.copy(folder / "apple.png", folder / "copy.png")
    with Image.open(folder / "flag.webp") as flag:
        flag.save(folder / "zflag.png")
    added = call("image", "add", folder)
    assert added.code == 0 and "1 duplicates, 1 near duplicates" in added.out
    assert added.err.splitlines() == [
        f"left out {folder / 'copy.png'}: it is {folder / 'apple.png'}",
        f"left out {folder / 'zflag.png'}: it looks like {folder / 'flag.webp'}",
    ]
    assert "2 images added" in call("image", "add", folder, "--keep-duplicates").out


def test_bad_files_are_skipped(call: Call, folder: Path) -> None:
    (folder / "a.png").write_text("text")
    (folder / "b.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    added = call("image", "add", folder, folder / "b.svg")
    assert added.code == 1 and "3 images added" in added.out
    assert added.err.splitlines() == [
        f"skipped {folder / 'a.png'} is no image; give a PNG, JPEG or WebP file",
        f"skipped {folder / 'b.svg'} is an SVG drawing, which has no pixels; export it as PNG first",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("image", "search", "red"), "there is no store at"),
        (("image", "list"), "there is no store at"),
        (("image", "remove", "a.png"), "there is no store at"),
        (("image", "add", "EMPTY"), "no images to read; give files or a folder with png, jpeg"),
        (("image", "add", "EMPTY/none.png"), "does not exist; give a file or a folder"),
        (("image", "add", "EMPTY", "--meta", "x"), "--meta 'x' is no pair"),
        (("zero-shot", "none.png", "--labels", "a,b"), "none.png does not exist"),
        (("zero-shot", "PNG"), "there are no labels; give some to choose from, such as cat,dog,car"),
        (("zero-shot", "PNG", "--labels", "a,,b"), "label 2 of 3 is empty"),
        (("zero-shot", "PNG", "--labels", "a,a"), 'label "a" is there twice'),
        (("image", "tags", "PNG", "--among", "none.txt"), "it should hold a word a line"),
    ],
)
def test_mistakes_are_one_line(call: Call, folder: Path, tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    (tmp_path / "empty").mkdir()
    named = {"PNG": str(folder / "apple.png")}
    called = call(*(named.get(arg, arg.replace("EMPTY", str(tmp_path / "empty"))) for arg in args))
    assert called.code == 2 and called.err.startswith("error: ") and called.err.count("\n") == 1
    assert message in called.err


def test_no_images_in_a_store_of_texts(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Some text.")
    call("rag", "add", tmp_path / "a.txt")
    for command in (("search", "red"), ("list",), ("remove", "a.png")):
        called = call("image", *command)
        assert called.code == 2 and "holds no images" in called.err


def test_remove_names_what_it_cannot_tell_apart(call: Call, folder: Path) -> None:
    drawn(folder / "deep" / "apple.png", "green")
    call("image", "add", folder)
    assert "fits 2 images" in call("image", "remove", "apple.png").err
    assert "`mmgen image list` names all 4" in call("image", "remove", "pear.png").err
    assert call("image", "remove", "deep/apple.png").code == 0


def test_rag_add_with_images(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_text("Some text.")
    added = call("rag", "add", folder, "--images")
    assert added.code == 0 and "1 documents added" in added.out and "; 3 images added" in added.out
    assert "3 unchanged" in call("rag", "add", folder).out.partition(";")[2]
    assert ";" not in call("rag", "add", folder, "--no-images").out
    assert ["image", "und", "0", "0", str(folder / "apple.png")] in [
        line.split() for line in call("rag", "list").out.splitlines()
    ]


def test_zero_shot(call: Call, folder: Path) -> None:
    said = call("zero-shot", folder / "apple.png", "--labels", "green,red,blue")
    head, first, *_ = said.out.splitlines()
    assert head.split() == ["label", "probability"] and first.split()[0] == "red" and "\u2588" in first
    found = json.loads(call("zero-shot", folder / "apple.png", "-l", "green", "-l", "red", "--json").out)
    assert found["labels"][0]["label"] == "red" and found["image"] == "apple.png"
    both = call("zero-shot", folder / "apple.png", folder / "sea.jpg", "--labels", "red,blue", "-k", 1).out
    assert [line.split()[0] for line in both.splitlines() if line] == ["apple.png", "label", "red", "sea.jpg", "label", "blue"]


def test_tags(call: Call, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("green\nred\nblue\n")
    said = call("image", "tags", folder / "apple.png", "--among", tmp_path / "words.txt", "-k", 2)
    assert said.out.splitlines()[1].split() == ["1.000", "red"] and len(said.out.splitlines()) == 3
    found = json.loads(call("image", "tags", folder / "sea.jpg", "--among", tmp_path / "words.txt", "--json").out)
    assert found["tags"][0]["caption"] == "blue" and found["among"] == 3


def test_the_pipelines_own_commands(call: Call, folder: Path) -> None:
    call("image", "add", folder)
    assert json.loads(call("image-search", "--text", "red", "-k", 1, "--json").out)[0]["uri"] == str(folder / "apple.png")
    assert json.loads(call("zero-shot-image", folder / "apple.png", "--labels", "red", "--labels", "blue", "--json").out)
    assert "2 vectors of 12 dimensions" in call("image-embed", folder / "apple.png", folder / "sea.jpg").out
    assert "name one, such as Salesforce" in call("caption", folder / "apple.png").err


def test_help_is_light() -> None:
    code = "import sys; from mmgen.cli import image; print('torch' in sys.modules, 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"
    said = subprocess.run([*MMGEN, "image", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(name in said for name in ("add", "search", "list", "remove", "tags"))


def test_ignore_files_hold_for_images(call: Call, folder: Path) -> None:
    (folder / ".mmgenignore").write_text("*\n")
    refused = call("image", "add", folder, "--store", folder.parent / "ignoring")
    assert refused.code == 2 and "no images to read" in refused.err and "--no-ignore reads it" in refused.err
    assert call("image", "add", folder, "--store", folder.parent / "ignoring", "--no-ignore").code in (0, 1)
