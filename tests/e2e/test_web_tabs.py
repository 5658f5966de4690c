"""See, Write, Engine and the canvas of Draw in a real browser, and the page under a path of the HTTP server."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parents[2] / "assets" / "images"


def test_see_write_and_watch(page: "Page") -> None:
    """Images found and named by the embedded encoder, a text written three ways, and the engine that did it."""
    from playwright.sync_api import expect

    page.get_by_role("tab", name="Image search").click()
    page.locator("#see-sample").click()
    expect(page.locator("#see-found img")).to_have_count(12)
    page.locator("#see-text input, #see-text textarea").fill("a red fruit")
    page.locator("#see-find").click()
    expect(page.locator("#see-found .caption-label").first).to_have_text(re.compile(r"0\.\d\d · red-apple\.png"))
    page.locator("#see-given input[type=file]").set_input_files(IMAGES / "crown.png")
    expect(page.locator("#see-given img")).to_be_visible()  # an upload that ends later would draw the labels anew
    page.locator("#see-labels input, #see-labels textarea").fill("dog, crown, <b>apple")
    page.locator("#see-name").click()
    expect(page.locator("#see-bars li").first).to_contain_text("crown")
    expect(page.locator("#see-bars li").last).to_contain_text(re.compile("dog|<b>apple"))

    page.get_by_role("tab", name="Text").click()
    page.get_by_label("number input for Max tokens").fill("16")
    page.locator("#write-go").click()
    for strategy in ("greedy", "sample", "beam"):
        expect(page.locator(f"#write-{strategy} .facts")).to_contain_text("tokens in")
    expect(page.locator("#write-greedy .token").first).to_have_attribute("data-told", re.compile(r"“.+” [\d.]+%"))
    assert page.locator("#write-beam .token").count() == 0
    page.get_by_role("button", name="Attention maps").click()
    page.locator("#write-attention").click()
    expect(page.locator("#write-maps img")).to_be_visible()

    page.get_by_role("tab", name="Models").click()
    model = page.locator(".model", has_text="embedded:books")
    expect(model).to_contain_text("in memory")
    model.get_by_role("button", name="Sleep").click()
    expect(model.get_by_role("button", name="Wake")).to_be_visible()
    page.get_by_role("tab", name="Engine").click()
    expect(page.locator("#engine-tables")).to_contain_text("weights")
    expect(page.locator("#engine-plots svg")).to_have_count(2)


@pytest.mark.slow
def test_a_image_is_dropped_painted_and_drawn_again(page: "Page", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page.get_by_role("tab", name="Images").click()
    page.get_by_role("button", name="Recipe").click()
    page.get_by_role("button", name="Input image").click()
    canvas = page.locator("#draw-canvas canvas").first
    canvas.wait_for()
    page.wait_for_timeout(3000)  # Gradio's editor takes nothing before it is ready, and does not say when it is
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    page.locator("#draw-canvas input[type=file]").first.set_input_files(tmp_path / "red.png")
    page.wait_for_timeout(2000)
    page.locator("#draw-prompt textarea").fill("a blue apple")
    page.locator("#draw-go").click()
    expect(page.locator("#draw-recipe")).to_contain_text('"task": "img2img"')

    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y + 20, steps=5)
    page.mouse.up()
    page.wait_for_timeout(1000)
    page.locator("#draw-go").click()
    expect(page.locator("#draw-recipe")).to_contain_text('"task": "inpaint"')

    source = page.locator("#draw-gallery img").first.evaluate("image => image.src")
    (tmp_path / "mine.png").write_bytes(page.request.get(source).body())
    page.get_by_role("button", name="Settings from an image").click()
    page.locator("#draw-again input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#draw-read")).to_contain_text("written by mmgen, are in the form")
    page.locator("#draw-reproduce").click()
    expect(page.locator("#draw-progress")).to_contain_text("mine.png is reproduced bit by bit")


@pytest.mark.slow
def test_under_a_path_of_the_server(visit: Any, mounted: str) -> None:
    """With the server's security headers, which the page must bear."""
    from playwright.sync_api import expect

    with visit(mounted) as page:
        refused: list[str] = []
        page.on("console", lambda line: refused.append(line.text) if "Content Security Policy" in line.text else None)
        page.get_by_role("tab", name="Text").click()
        page.locator("#write-go").click()
        expect(page.locator("#write-greedy .facts")).to_contain_text("tokens in")
        page.get_by_role("tab", name="Engine").click()
        expect(page.locator("#engine-plots svg")).to_have_count(2)
        page.get_by_role("tab", name="Ask").click()
        page.locator("#ask-sample").click()
        expect(page.locator("#ask-shelf")).to_contain_text("lighthouses.md")
        assert not refused
