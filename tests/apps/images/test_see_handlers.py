"""What See's buttons do, with eyes for colours: images kept, found with names and scores, named with bars."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from color_encoder import drawn
from PIL import Image

from apps.images import kept_images, see_handlers
from apps.images.see_handlers import NOTHING_NAMED, SeeHandlers
from apps.model_chooser import ModelChooser
from apps.page_stores import PageStores
from apps.sessions import Pages
from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")


def still(*_: Any, **__: Any) -> None:
    """A progress bar that nobody sees."""


def handlers(rt: Runtime, store: Path) -> SeeHandlers:
    return SeeHandlers(PageStores(rt, str(store), local=True), ModelChooser(rt, local=True), Pages())


def named(seeing: SeeHandlers, *given: Any) -> str:
    """What is shown at the end."""
    return list(seeing.name(*given))[-1]


@pytest.fixture
def seeing(painter: "Runtime", tmp_path: Path) -> SeeHandlers:
    made = handlers(painter, tmp_path / "store")
    files = [drawn(tmp_path / f"{name}.png", *name.split("-")) for name in ("red", "blue", "red-yellow")]
    made.add(None, list(map(str, files)), BROWSER, still)  # type: ignore[arg-type]
    return made


def test_an_empty_store_teaches(painter: "Runtime", tmp_path: Path) -> None:
    made = handlers(painter, tmp_path / "store")
    shown, note, *_ = made.browse(None, BROWSER)
    assert shown == [] and "No images yet" in note
    with pytest.raises(gr.Error, match=r"no images|no store"):
        made.find(None, "red", None, BROWSER)


def test_dropped_images_are_kept_and_shown(seeing: SeeHandlers, tmp_path: Path) -> None:
    shown, note, *_ = seeing.browse(None, BROWSER)
    assert sorted(name for _, name in shown) == ["blue.png", "red-yellow.png", "red.png"] and "3 images" in note
    for source in seeing.gallery(None, BROWSER).filled().sources():
        assert Path(source).is_relative_to(seeing.rt.home / "images")


def test_found_by_words_or_a_image_with_names_and_scores(seeing: SeeHandlers, tmp_path: Path) -> None:
    found, note, *_ = seeing.find(None, "red", None, BROWSER)
    assert found[0][1].endswith("· red.png") and float(found[0][1].split(" ")[0]) > 0.9 and "3 images" in note
    assert isinstance(found[0][0], Image.Image)
    found, *_ = seeing.find(None, "", str(drawn(tmp_path / "query.png", "blue")), BROWSER)
    assert found[0][1] == "1.00 · blue.png"
    with pytest.raises(gr.Error, match="nothing to look for"):
        seeing.find(None, " ", None, BROWSER)


def test_labels_get_bars_the_likeliest_first(seeing: SeeHandlers, tmp_path: Path) -> None:
    red = str(drawn(tmp_path / "query.png", "red"))
    bars = named(seeing, None, red, "blue, red\n<b>green", "{}", BROWSER)
    assert bars.index("red") < bars.index("blue") and "<b>" not in bars and "%</small>" in bars
    assert named(seeing, None, None, "red", "{}", BROWSER) == NOTHING_NAMED
    with pytest.raises(gr.Error, match='label "red" is there twice'):
        named(seeing, None, red, "red, red", "{}", BROWSER)


def test_an_image_that_no_label_fits(
    seeing: SeeHandlers, tmp_path: Path, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(see_handlers.FLOORS, seeing.default, 0.9)
    (colours / "captions.txt").write_text("blue\nred\n<b>black\n")
    red = str(drawn(tmp_path / "query.png", "red"))
    bars = named(seeing, None, red, "blue, green", "{}", BROWSER)
    assert "None of these" in bars and "Nearest words: red" in bars and "<b>" not in bars
    assert "None of these" not in named(seeing, None, red, "blue, red", "{}", BROWSER)


def test_an_image_is_removed(seeing: SeeHandlers) -> None:
    _, _, sources, *_ = seeing.browse(None, BROWSER)
    event: Any = SimpleNamespace(index=1)
    picked, button = seeing.chosen(sources, event)
    assert button["interactive"] and Path(picked).name in button["value"]
    shown, note, left, *_ = seeing.remove(None, picked, BROWSER)
    assert len(shown) == 2 and picked not in left and "1 source of images removed" in note


def test_without_labels_the_nearest_words(seeing: SeeHandlers, tmp_path: Path, colours: Path) -> None:
    (colours / "captions.txt").write_text("blue\nred\nblack\n")
    bars = named(seeing, None, str(drawn(tmp_path / "query.png", "red")), "", "{}", BROWSER)
    assert bars.index("red") < bars.index("blue")


def test_what_is_no_image_is_told(seeing: SeeHandlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    (tmp_path / "fake.png").write_text("no image")
    seeing.add(None, [str(tmp_path / "fake.png")], BROWSER, still)  # type: ignore[arg-type]
    assert len(said) == 1 and "fake.png" in said[0]


def test_a_home_of_the_release_before_keeps_its_folder(tmp_path: Path) -> None:
    assert kept_images.folder(tmp_path) == tmp_path / "images"
    (tmp_path / "pictures").mkdir()
    assert kept_images.folder(tmp_path) == tmp_path / "pictures"


def test_a_name_is_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "..hidden <x>.png").write_bytes(b"1")
    kept = kept_images.keep(tmp_path / "..hidden <x>.png", tmp_path / "images")
    assert kept.parent.parent == tmp_path / "images" and kept.name == "hidden_x_.png"


def test_a_model_that_is_downloaded_is_told(seeing: SeeHandlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def fetched(kind: str, reference: str, load: Any, check: Any) -> Any:
        asked.append(f"{kind} {reference}")
        yield "Downloading <org>/eyes: 5 MB"

    monkeypatch.setattr(seeing.chooser, "fetched", fetched)
    told = list(seeing.name(None, str(drawn(tmp_path / "query.png", "red")), "blue, red", "{}", BROWSER))
    assert told[0] == "<p class='pending'>Downloading &lt;org&gt;/eyes: 5 MB</p>" and len(told) == 2 and "red" in told[1]
    assert asked == [f"image encoder {seeing.default}"]
