"""What Draw's buttons do: from words, from an image, of a painted part, again by a recipe; kept, and really cancelled."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from apps.history_panel import HistoryPanel
from apps.images import image_options
from apps.images.draw_handlers import DrawHandlers
from apps.model_chooser import ModelChooser
from apps.sessions import Pages
from mmgen.pipelines.image import recipe
from mmgen.stores.history import History

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")
NOTHING = {"background": None, "layers": [], "composite": None}


@pytest.fixture
def drawing(studio: "Runtime", tmp_path: Path) -> Iterator[DrawHandlers]:
    with History(tmp_path / "history") as history:
        made = DrawHandlers(studio, None, HistoryPanel(history), ModelChooser(studio, local=True), Pages())
        made.begun = tmp_path / "begun"
        yield made


def form(prompt: str = "a cat", edited: Any = NOTHING, **more: Any) -> list[Any]:
    """What the components hold."""
    given: dict[str, Any] = {"negative": "", "model": None, "n": 1, "style": "", "seed": 5, "lock": True, "strength": 0.5}
    given |= {"steps": 2, "guidance": 2.0, "solver": "", **more}
    options = [given.get(one.name, one.default) for one in image_options.OPTIONS]
    names = ("negative", "model", "n", "style", "seed", "lock")
    control = [given.get("control"), given.get("control_model"), given.get("control_kind", ""), given.get("control_scale", 1.0)]
    return [prompt, *(given[name] for name in names), edited, given["strength"], *control, *options]


def draw(drawing: DrawHandlers, keep: Path, edited: Any = NOTHING, **more: Any) -> list[tuple[Any, ...]]:
    """All that the page is shown; the files of the last are copied, as Gradio does."""
    shown = []
    for one in drawing.draw(BROWSER, *form(edited=edited, **more)):
        shown.append(one)
        for path, _ in one[0] if isinstance(one[0], list) else []:
            (keep / Path(path).name).write_bytes(Path(path).read_bytes())
    return shown


def last_file(shown: list[tuple[Any, ...]], keep: Path) -> Path:
    return keep / Path(shown[-1][0][-1][0]).name


def test_images_with_recipes_seeds_and_previews(drawing: DrawHandlers, tmp_path: Path) -> None:
    shown = draw(drawing, tmp_path, n=2, steps=4)
    images, note, seed, recipes, first, go, stop = shown[-1]
    assert [caption for _, caption in images] == ["seed 5", "seed 6"] and "2 generated, seed 5 to 6" in note
    assert seed == 5 and len(recipes) == 2 and '"seed": 5' in first
    assert go["interactive"] and not stop["interactive"] and shown[0][6]["interactive"]
    assert any("<progress" in one[1] for one in shown)
    made = recipe.read(last_file(shown, tmp_path))
    assert (made.task, made.prompt, made.seed) == ("txt2img", "a cat", 6)
    (entry,) = drawing.past.entries(["txt2img"], "cat")
    assert [file.name for file in entry.files] == ["1.png", "2.png"]


def test_a_plot_comes_last(drawing: DrawHandlers, tmp_path: Path) -> None:
    shown = draw(drawing, tmp_path, x="steps=1,2")
    images, _, _, recipes, *_ = shown[-1]
    assert [caption for _, caption in images] == ["seed 5", "seed 5", "plot"] and len(recipes) == 3
    with Image.open(last_file(shown, tmp_path)) as plot:
        assert plot.width > 2 * 192


def test_an_unlocked_seed_is_drawn_by_lot(drawing: DrawHandlers, tmp_path: Path) -> None:
    assert draw(drawing, tmp_path, lock=False)[-1][2] != 5


def test_a_dropped_image_is_begun_with_and_paint_is_a_mask(drawing: DrawHandlers, tmp_path: Path) -> None:
    under = Image.new("RGBA", (16, 16), "blue")
    made = recipe.read(last_file(draw(drawing, tmp_path, {"background": under, "layers": []}), tmp_path))
    assert made.task == "img2img" and made.strength == 0.5 and made.image is not None and made.mask is None
    assert (drawing.begun / made.image.file).is_file()
    paint = Image.new("RGBA", (16, 16))
    paint.paste((255, 160, 0, 255), (0, 0, 8, 16))
    made = recipe.read(last_file(draw(drawing, tmp_path, {"background": under, "layers": [paint]}, strength=1.0), tmp_path))
    assert made.task == "inpaint" and made.mask is not None


def test_a_image_is_drawn_again_with_what_it_began_with(drawing: DrawHandlers, tmp_path: Path) -> None:
    under = Image.new("RGBA", (16, 16), "blue")
    file = last_file(draw(drawing, tmp_path, {"background": under, "layers": []}), tmp_path)
    *_, last = drawing.again([str(file)], BROWSER)
    assert "is reproduced bit by bit" in last[1] and str(tmp_path) not in last[1] and last[2] == 5


def test_a_foreign_recipe_is_refused(drawing: DrawHandlers, tmp_path: Path) -> None:
    file = last_file(draw(drawing, tmp_path), tmp_path)
    made = recipe.read(file).model_copy(update={"model": "/somewhere/else"})
    with Image.open(file) as image:
        recipe.save(image.copy(), made, tmp_path / "other.png")
    with pytest.raises(gr.Error, match=r"other\.png was generated by /somewhere/else; .* mmgen reproduce"):
        list(drawing.again([str(tmp_path / "other.png")], BROWSER))
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    with pytest.raises(gr.Error, match=r"plain\.png holds no recipe"):
        list(drawing.again([str(tmp_path / "plain.png")], BROWSER))
    with pytest.raises(gr.Error, match="there is no image"):
        list(drawing.again(None, BROWSER))


def test_kept_images_come_back(drawing: DrawHandlers, tmp_path: Path) -> None:
    draw(drawing, tmp_path, prompt="a <b>cat")
    (entry,) = drawing.past.entries(["txt2img"], "")
    ((images, note, recipes, first),) = drawing.reopened(entry)
    assert len(images) == 1 and images[0][1] == "seed 5" and "a &lt;b&gt;cat" in note
    assert recipes == [first] and '"prompt": "a <b>cat"' in first


def test_a_mistake_is_one_line_and_what_is_shown_stays(drawing: DrawHandlers, tmp_path: Path) -> None:
    shown: list[tuple[Any, ...]] = []
    with pytest.raises(gr.Error, match="the prompt is empty"):
        for one in drawing.draw(BROWSER, *form("")):
            shown.append(one)
    assert shown[-1][5]["interactive"] and "the prompt is empty" in shown[-1][1] and drawing.past.entries(["txt2img"], "") == []
    assert all(one[0] == one[3] == gr.skip() for one in shown), "the images of before are still there"


def test_an_interruption_stops_the_engine_and_leaves_no_half_image(
    drawing: DrawHandlers, studio: "Runtime", tmp_path: Path
) -> None:
    threading.Timer(0.3, lambda: drawing.sessions.cancel(BROWSER)).start()
    images, note, *_ = draw(drawing, tmp_path, n=8, steps=100, solver="ddpm")[-1]
    assert "Interrupted: 0 of 8 finished" in note and images == []
    assert not studio.engine.jobs()


def test_a_scaled_input_image_is_told(drawing: DrawHandlers, tmp_path: Path) -> None:
    note = draw(drawing, tmp_path, {"background": Image.new("RGB", (40, 40)), "layers": []})[-1][1]
    assert "16 x 16 pixels (the input image has 40 x 40: it was scaled" in note


def test_tokens_of_a_prompt_are_counted_once_the_model_is_loaded(drawing: DrawHandlers, tmp_path: Path) -> None:
    draw(drawing, tmp_path)
    assert re.search(r"\d+ tokens of \d+<", drawing.told_of("a cat", None))
    assert not drawing.counted(" ", None)["visible"] and not drawing.counted(None, None)["visible"]
    assert re.search(r"\d+ tokens, read in \d+ parts of \d+<", drawing.told_of("a cat " * 60, None))
    assert "class='facts warn'" in drawing.told_of("a (cat:" + "9" * 40 + ")", None)


def test_settings_of_a_dropped_image_fill_the_form(drawing: DrawHandlers, tmp_path: Path) -> None:
    file = last_file(draw(drawing, tmp_path, steps=3, negative="red", style="noto", solver="ddim"), tmp_path)
    note, prompt, negative, model, style, seed, lock, *options = drawing.settings([str(file)])
    assert f"Settings of {file.name}, written by mmgen, are in the form" in note and model == drawing.default
    assert (prompt, negative, style, seed, lock) == ("a cat in noto style", "red", "", 5, True)
    again = [prompt, negative, model, 1, style, seed, lock, NOTHING, 0.5, None, None, "", 1.0, *options]
    *_, (images, *_) = drawing.draw(BROWSER, *again)
    with Image.open(images[0][0]) as one, Image.open(file) as other:
        assert one.tobytes() == other.tobytes()


def test_settings_of_another_tool_and_of_none(drawing: DrawHandlers, tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat\nNegative prompt: dog\nSteps: 7, Sampler: Euler a, CFG scale: 4, Seed: 3, Model: dreamy")
    Image.new("RGB", (8, 8)).save(tmp_path / "theirs.png", pnginfo=info)
    note, prompt, negative, model, _, seed, _, *options = drawing.settings([str(tmp_path / "theirs.png")])
    held = image_options.values(options)
    assert (prompt, negative, seed, held["steps"], held["solver"], model) == ("a cat", "dog", 3, 7, "euler-a", gr.skip())
    assert "model dreamy is another tool" in note
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    note, *form = drawing.settings([str(tmp_path / "plain.png")])
    assert "plain.png holds no recipe" in note and form == [gr.skip()] * (6 + len(image_options.OPTIONS))


def test_a_control_image(drawing: DrawHandlers, stable_diffusion: Path, tmp_path: Path) -> None:
    """Its model is one that the server knows by name; what it changed is told, and it is drawn again by its recipe."""
    import tiny_controls

    from mmgen.pipelines.image import control_images

    folder = drawing.rt.home / control_images.FOLDER / "lines"
    tiny_controls.controlnet(folder, stable_diffusion)
    photo = Image.open(tiny_controls.photo(tmp_path / "photo.png", (32, 16)))
    shown = draw(drawing, tmp_path, control=photo, control_model="lines", control_kind="canny", control_scale=0.5)
    assert "it was scaled to 24 x 12" in shown[-1][1]
    path = last_file(shown, tmp_path)
    (made,) = recipe.read(path).control
    assert (made.model, made.kind, made.scale) == ("lines", "canny", 0.5)
    *_, again = drawing.again([str(path)], BROWSER)
    assert "is reproduced bit by bit" in again[1]
    for model in (None, str(folder)):
        with pytest.raises(gr.Error, match="choose the control image's model; lines"):
            draw(drawing, tmp_path, control=photo, control_model=model)
