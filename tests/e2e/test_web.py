"""The page in a real browser: `mmgen web` over the embedded reader and a tiny model that draws."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from mmgen.pipelines import recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
DOCUMENT = "# Lighthouse\n\nThe <b>lamp</b> of Hirta was lit by Anna Stuart in 1823. It burned seal oil.\n"
SECONDS = 120_000  # what a busy machine may take, in milliseconds


@pytest.fixture(scope="module")
def address(pixel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server of its own, in a home of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MMGEN_HOME": str(tmp_path_factory.mktemp("web-home"))}
    command = [sys.executable, "-m", "mmgen", "web", "--port", str(port), "--model", str(pixel_model)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stderr
        said = server.stdout.readline()
        assert said.startswith(f"http://127.0.0.1:{port} "), server.stderr.read()
        yield said.split()[0]
        server.terminate()
        assert server.wait(30) == 0, server.stderr.read()


@pytest.fixture
def page(address: str) -> "Iterator[Page]":
    if CHROMIUM is None:
        if os.environ.get("MMGEN_BROWSER") == "required":
            pytest.fail("there is no chromium; apt-get install chromium")
        pytest.skip("there is no chromium; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(SECONDS)
        foreign: list[str] = []
        page.on("request", lambda request: None if _ours(request.url, address) else foreign.append(request.url))
        page.goto(address)
        yield page
        browser.close()
        assert not foreign, "the page asks strangers"


def _ours(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


def test_ask_and_draw(page: "Page", tmp_path: Path) -> None:
    """One visit: a file in, a question answered by a quote, one not answered; a picture, a cancelled one, a mistake."""
    from playwright.sync_api import expect

    expect.set_options(timeout=SECONDS)
    (tmp_path / "hirta.md").write_text(DOCUMENT)
    page.locator("#ask-files input[type=file]").set_input_files(tmp_path / "hirta.md")
    expect(page.locator("#ask-shelf")).to_contain_text("hirta.md")
    ask(page, "Who lit the lamp of Hirta?")
    answer = page.locator(".turn").nth(0)
    expect(answer.locator(".citation summary")).to_contain_text("Anna Stuart")
    answer.locator("summary").click()
    expect(answer.locator("blockquote")).to_contain_text("The <b>lamp</b> of Hirta")
    assert "Anna Stuart" in answer.locator("mark").inner_text()
    ask(page, "Who won the football world cup in 1998?")
    expect(page.locator(".turn.absent .text")).to_have_text("Not in the documents.")

    page.get_by_role("tab", name="Draw").click()
    page.locator("#draw-go").click()
    expect(page.get_by_text("the prompt is empty")).to_be_visible()
    page.locator("#draw-prompt textarea").fill("a red apple")
    page.locator("#draw-go").click()
    expect(page.locator("#draw-progress")).to_contain_text(re.compile(r"1 drawn, seed \d+"))
    expect(page.locator("#draw-gallery img")).to_have_count(1)
    served = page.request.get(page.locator("#draw-gallery img").evaluate("image => image.src")).body()
    with Image.open(io.BytesIO(served)) as picture:
        assert picture.size == (16, 16) and recipe.of(picture, "it").prompt == "a red apple"
    page.get_by_role("button", name="Recipe").click()
    expect(page.locator("#draw-recipe")).to_contain_text('"prompt": "a red apple"')

    page.get_by_role("button", name="Options").last.click()
    page.get_by_label("number input for Steps").fill("100")
    page.get_by_label("number input for Pictures").fill("8")
    page.locator("#draw-go").click()
    page.locator("#draw-cancel").click()
    expect(page.locator("#draw-progress")).to_contain_text("Cancelled.")
    expect(page.locator("#draw-go")).to_be_enabled()


def ask(page: "Page", question: str) -> None:
    page.locator("#ask-question input, #ask-question textarea").fill(question)
    page.locator("#ask-go").click()
