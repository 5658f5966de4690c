"""The image commands: files and patterns, prompts files, previews, JSON, and what people get wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_call import Call, Called
from PIL import Image

from mmgen.cli.image_commands import ProgressBar
from mmgen.cli.terminal_image import half_blocks
from mmgen.pipelines.image import image_io, recipe


@pytest.fixture(autouse=True)
def place(home: Path, stable_diffusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a configuration that names the tiny model."""
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"denoiser: {stable_diffusion}\ndevice: cpu\n")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def told(called: Called, *parts: str) -> None:
    """One line, nothing written."""
    assert called.code == 2 and called.out == "" and called.err.count("\n") == 1, called
    assert called.err.startswith("error: ") and all(part in called.err for part in parts), called.err
    assert not list(Path().rglob("*.png")) and not list(Path().rglob("*.part"))


def test_one_image(call: Call) -> None:
    called = call("txt2img", "a cat", "-o", "cat.png", "--seed", 7, "--steps", 2)
    assert called.code == 0 and called.out == "cat.png (seed 7)\n" and called.err == ""
    assert image_io.read("cat.png").size == (16, 16) and recipe.read(Path("cat.png")).steps == 2


def test_without_a_name_and_seed(call: Call) -> None:
    found = re.fullmatch(r"txt2img-(\d+)\.png \(seed \1\)\n", call("txt2img", "a cat", "--steps", 2).out)
    assert found and Path(f"txt2img-{found[1]}.png").is_file()


def test_many_images_into_a_folder(call: Call, place: Path) -> None:
    (place / "prompts.txt").write_text("a cat\n\n a dog\n")
    called = call("txt2img", "--prompts", "prompts.txt", "-n", 2, "--seed", 1, "--steps", 2, "-o", "new/{n}.png", "--json")
    found = json.loads(called.out)
    assert found["files"] == [f"new/{n}.png" for n in (1, 2, 3, 4)] and found["seeds"] == [1, 2, 3, 4]
    assert [recipe.read(Path(path)).prompt for path in found["files"]] == ["a cat", "a cat", "a dog", "a dog"]
    assert found["recipes"][2]["prompt"] == "a dog" and found["timings"]["total"] > 0


def test_a_prompt_from_standard_input(call: Call) -> None:
    assert call("txt2img", "-", "-o", "a.png", "--steps", 1, stdin=b"a cat\n").code == 0
    assert recipe.read(Path("a.png")).prompt == "a cat"


def test_previews(call: Call) -> None:
    called = call("txt2img", "a cat", "-o", "a.png", "--steps", 4, "--preview", "--preview-every", 2)
    assert called.out.count("\u2580") == 2 * 16 * 8 and "\x1b[38;2;" in called.out
    last = called.out.split("a.png")[0].splitlines()[-8:]
    assert "\n".join(last) == half_blocks(image_io.read("a.png"), 64)


def test_sheets_plots_and_animations(call: Call) -> None:
    few = ("a cat", "--seed", 7, "--steps", 3)
    called = call("txt2img", *few, "-n", 2, "-o", "{n}.png", "--sheet", "sheet.png", "--animate", "{n}.gif")
    assert called.out.split("\n")[-4:-1] == ["sheet.png", "1.gif", "2.gif"]
    with Image.open("2.gif") as moving:
        assert moving.n_frames == 3  # type: ignore[attr-defined]
    assert image_io.read("sheet.png").width == 16 + 2 * (192 + 16)
    called = call("txt2img", "a cat", "-x", "steps=1,2", "--y", "seed=5,6", "-o", "p.png")
    assert called.out.split("\n")[-2] == "plot-p-5-1.png" and Path("p-6-4.png").is_file()
    assert "no unfinished images, or drew one step alone" in call("txt2img", *few[:3], "--steps", 1, "--animate", "x.webp").err
    told_of = call("txt2img", *few, "--animate", "x.mp4")
    assert told_of.code == 2 and "x.mp4 is no name of an animation; give one that ends with .gif, .webp, .apng" in told_of.err


def test_what_a_cancelled_plot_leaves(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its finished cells and a plot of them."""

    def interrupt(self: ProgressBar, step: Any) -> None:
        if step.of == 500 and step.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "advance", interrupt)
    called = call("txt2img", "a cat", "--seed", 1, "-x", "steps=1,500", "-o", "{n}.png", "--sheet", "plot.png")
    assert called.code == 130 and called.out == "1.png (seed 1)\nplot.png\n" and image_io.read("plot.png").width > 400


def test_half_blocks() -> None:
    image = Image.new("RGB", (1, 2), "red")
    image.putpixel((0, 1), (1, 2, 3))
    assert half_blocks(image, 80) == "\x1b[38;2;255;0;0;48;2;1;2;3m\u2580\x1b[0m"
    lines = half_blocks(Image.new("RGB", (200, 100)), 10).splitlines()
    assert len(lines) == 2 and all(line.count("\u2580") == 10 for line in lines)


def test_from_a_image_on(call: Call, place: Path) -> None:
    Image.linear_gradient("L").resize((16, 16)).save(place / "photo.jpg")
    Image.new("L", (16, 16), 255).save(place / "mask.png")
    few = ("--steps", 3, "--seed", 5)
    assert call("img2img", "photo.jpg", "a cat", "--strength", 0.7, "-o", "a.png", *few).out == "a.png (seed 5)\n"
    assert call("inpaint", "photo.jpg", "mask.png", "a cat", "-o", "b.png", *few).out == "b.png (seed 5)\n"
    assert call("variations", "a.png", "-n", 2, *few).out.split("\n")[1] == "variations-6.png (seed 6)"
    for file in ("a.png", "b.png", "variations-5.png"):
        assert "bit by bit" in call("reproduce", file).out


def test_show_and_reproduce(call: Call) -> None:
    call("txt2img", "a cat", "-o", "a.png", "--seed", 7, "--steps", 2)
    lines = dict(line.split(maxsplit=1) for line in call("show", "a.png").out.splitlines())
    assert lines["prompt"] == "a cat" and lines["seed"] == "7" and lines["versions"].startswith("mmgen ")
    assert json.loads(call("show", "a.png", "--json").out)["solver"] == "dpm++2m"
    assert "\u2580" in call("show", "a.png", "--preview").out
    same = call("reproduce", "a.png", "-o", "again.png", "--json")
    assert same.code == 0 and json.loads(same.out)["equal"] and recipe.read(Path("again.png")) == recipe.read(Path("a.png"))
    other = recipe.read(Path("a.png")).model_copy(update={"seed": 8})
    recipe.save(image_io.read("a.png"), other, Path("a.png"))
    called = call("reproduce", "a.png")
    assert called.code == 1 and "a.png is not reproduced: the largest difference of a pixel is" in called.out


def test_interrupted_midway(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: ProgressBar, step: Any) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "advance", interrupt)
    called = call("txt2img", "a cat", "-o", "a.png", "--steps", 500, "-n", 2)
    assert (called.code, called.out, called.err) == (130, "", "interrupted\n") and not list(Path().iterdir())


def test_interrupted_between_images(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished stays, whole."""
    saved = recipe.save

    def save_once(image: Any, made: Any, path: Path) -> None:
        if path.name == "2.png":
            raise KeyboardInterrupt
        saved(image, made, path)

    monkeypatch.setattr(recipe, "save", save_once)
    called = call("txt2img", "a cat", "-o", "{n}.png", "--steps", 2, "-n", 2)
    assert called.code == 130 and [path.name for path in Path().iterdir()] == ["1.png"]
    assert image_io.read("1.png").size == (16, 16)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["there is no prompt; say what to draw"]),
        ([""], ["the prompt is empty; say"]),
        (["a cat", "--prompts", "x.txt"], ["give a prompt or --prompts, not both"]),
        (["--prompts", "x.txt"], ["x.txt does not exist; give a text file"]),
        (["word " * 10_000], ["the prompt is 50,000 characters"]),
        (["a cat", "--steps", 0], ["steps is 0; it can be 1 to 1000"]),
        (["a cat", "--steps", 10**6], ["steps is 1000000"]),
        (["a cat", "--steps", "few"], ["Invalid value for '--steps'"]),
        (["a cat", "--guidance", "nan"], ["guidance is nan"]),
        (["a cat", "--width", -64], ["width is -64"]),
        (["a cat", "--width", 10**6], ["width is 1000000"]),
        (["a cat", "--solver", "dmp++2m"], ["solver is 'dmp++2m' (did you mean \"dpm++2m\"?)"]),
        (["a cat", "--stps", 3], ["No such option: --stps"]),
        (["a cat", "-o", "cat.jpg"], ["cat.jpg is not named .png; images are written as PNG"]),
        (["a cat", "-o", "no/such/cat.png"], ["no/such is no folder; make it first"]),
        (["a cat", "-o", "/proc/cat.png"], ["/proc/cat.png cannot be written"]),
        (["a cat", "--model", "embedded:emojy"], ['did you mean "embedded:emoji"']),
        (["a cat", "--model", "embedded:minilm"], ["embedded:minilm is of kind encoder, not denoiser"]),
        (["a cat", "--lora", "gone.safetensors"], ["LoRA gone.safetensors does not exist"]),
    ],
)
def test_what_people_get_wrong(call: Call, arguments: list[object], parts: list[str]) -> None:
    told(call("txt2img", *arguments), *parts)


def test_images_that_are_none(call: Call, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "text.jpg").write_text("no image")
    Image.new("RGB", (300, 1)).save(place / "bomb.gif")
    Image.new("L", (8, 8), 255).save(place / "mask.gif")
    Image.new("L", (9, 9)).save(place / "photo.gif")
    told(call("img2img", "text.jpg", "a cat"), "text.jpg is no image; give a PNG, JPEG or WebP file")
    told(call("img2img", "gone.jpg", "a cat"), "image gone.jpg does not exist")
    told(call("inpaint", "photo.gif", "mask.gif", "a cat"), "the mask is 8 x 8 pixels, the image 9 x 9")
    told(call("variations", "photo.gif"), "the image has no recipe that tells what it shows")
    told(call("show", "photo.gif"), "photo.gif holds no recipe")
    told(call("reproduce", "photo.gif"), "photo.gif holds no recipe")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    told(call("img2img", "bomb.gif", "a cat"), "bomb.gif has more than 100 pixels")


def test_help_names_every_option(call: Call) -> None:
    out = call("txt2img", "--help").out
    assert all(word in out for word in ("--negative", "--output", "-o", "--preview", "--prompts", "--json", "--lora"))
    assert "what to draw" in out.lower() and "--request" not in out
