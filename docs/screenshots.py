"""Makes the images of docs/screenshots anew: the page over the embedded models, in a headless browser.

`python docs/screenshots.py` from the repository's root; needs chromium and the `dev` extra.
"""

from __future__ import annotations

import io
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmgen.cli.web import front_end
from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).with_name("screenshots")
IMAGES = Path(__file__).parents[1] / "assets" / "images"
SIZE = {"width": 1280, "height": 900}
COLOURS = 160  # of a PNG: enough for a page, and a fifth of its bytes
SECONDS = 120_000


def chat(page: Page) -> None:
    page.get_by_role("button", name="How far could the light at Cordouan be seen?").click()
    page.locator("#chat-past .citation summary").wait_for()
    page.locator("#chat-box textarea").fill("Draw a red apple")
    page.keyboard.press("Enter")
    page.locator("#chat-past .chat-images img").wait_for()


def ask(page: Page) -> None:
    page.locator("#ask-sample").click()
    page.locator("#ask-shelf .documents").wait_for()
    for number, question in enumerate(("How far could the light at Cordouan be seen?", "Who won the world cup in 1998?")):
        page.locator("#ask-question input, #ask-question textarea").fill(question)
        page.locator("#ask-go").click()
        page.locator(".turn .text").nth(number).wait_for()
    page.locator(".citation summary").first.click()


def draw(page: Page) -> None:
    page.get_by_label("number input for Batch size").fill("6")
    page.locator("#draw-prompt textarea").fill("a smiling cat with heart eyes")
    page.locator("#draw-go").click()
    page.get_by_text("6 generated, seed").wait_for()


def see(page: Page) -> None:
    page.locator("#see-sample").click()
    page.locator("#see-found img").nth(11).wait_for()
    page.locator("#see-text input, #see-text textarea").fill("a red fruit")
    page.locator("#see-find").click()
    page.get_by_text("most similar first").wait_for()
    page.locator("#see-given input[type=file]").set_input_files(IMAGES / "dog-face.png")
    page.locator("#see-bars .bars").wait_for()


def write(page: Page) -> None:
    page.get_by_label("number input for Max tokens").fill("80")
    page.locator("#write-go").click()
    for strategy in ("greedy", "sample", "beam"):
        page.locator(f"#write-{strategy} .facts", has_text="tokens in").wait_for()
    page.locator("#write-sample .token").nth(8).hover()


def engine(page: Page) -> None:
    """Watched while others draw and write."""
    page.wait_for_timeout(20_000)


SHOTS = {"Chat": chat, "Ask": ask, "Images": draw, "Image search": see, "Text": write, "Engine": engine}
"""A tab's name -> what is done in it; the file is named by the function."""


def open_tab(page: Page, address: str, tab: str) -> None:
    page.set_default_timeout(SECONDS)
    page.goto(address)
    page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_timeout(1500)


def work(page: Page, address: str, tab: str) -> None:
    """Keeps the engine busy from another window."""
    open_tab(page, address, tab)
    if tab == "Images":
        page.get_by_label("number input for Batch size").fill("8")
        page.get_by_role("button", name="Options").last.click()
        page.locator("#draw-steps textarea").fill("60")
        page.locator("#draw-prompt textarea").fill("a crown on a blue background")
    else:
        page.get_by_label("number input for Max tokens").fill("256")
    page.locator(f"#{SHOTS[tab].__name__}-go").click()


def save(page: Page, name: str) -> None:
    page.wait_for_timeout(1000)
    data = page.screenshot(full_page=name != "engine")
    image = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    FOLDER.mkdir(exist_ok=True)
    image.save(FOLDER / f"{name}.png", optimize=True)
    print(FOLDER / f"{name}.png", image.size, (FOLDER / f"{name}.png").stat().st_size)


def main() -> None:
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home, Runtime(RuntimeConfig(home=Path(home), device="cpu")) as rt:
        page, address = front_end().serve(rt, port=port)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for tab, prepare in SHOTS.items():
                seen = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
                open_tab(seen, address, tab)
                if tab == "Engine":
                    for other in ("Images", "Text"):
                        work(browser.new_page(), address, other)
                prepare(seen)
                save(seen, prepare.__name__)
            browser.close()
        page.close(verbose=False)
        rt.close(drain=False)


if __name__ == "__main__":
    main()
