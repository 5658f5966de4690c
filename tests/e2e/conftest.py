"""A page in a real browser: a server of its own, and visitors who must not be sent to strangers."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SECONDS = 120_000  # what a busy machine may take, in milliseconds


def served(home: Path, *command: str) -> Iterator[str]:
    """The address of `mmgen COMMAND --port ...`, which ends well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MMGEN_HOME": str(home)}
    whole = [sys.executable, "-m", "mmgen", *command, "--port", str(port)]
    with subprocess.Popen(whole, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stderr
        said = server.stdout.readline()
        assert said.startswith(f"http://127.0.0.1:{port}"), server.stderr.read()
        yield said.split()[0]
        server.terminate()
        assert server.wait(30) == 0, server.stderr.read()


@pytest.fixture(scope="session")
def address(pixel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of `mmgen web` over the embedded models and a tiny one that draws, in a home of its own."""
    yield from served(tmp_path_factory.mktemp("web-home"), "web", "--model", str(pixel_model))


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of `mmgen serve --ui`, where / leads to the page."""
    for page in served(tmp_path_factory.mktemp("serve-home"), "serve", "--ui"):
        yield page.removesuffix("/ui")


@pytest.fixture
def administered(tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """`mmgen serve` with two keys: its address, an administrator's key and an everyday one."""
    from mmgen.stores.keys import ALL, KeyStore

    with KeyStore(tmp_path / "keys.db") as keys:
        made = keys.create("root", scopes=(*ALL, "admin")), keys.create("reader")
    for address in served(tmp_path, "serve"):
        yield address.removesuffix("/v1"), *made


@pytest.fixture
def server(smollm2: Path, home: Path) -> Iterator[str]:
    """`mmgen serve` over the embedded models, embedded:smollm2 among them."""
    for address in served(home, "serve"):
        yield address.removesuffix("/v1")


@pytest.fixture(scope="module")  # beyond it playwright's event loop would stand in the way of other tests'
def browser() -> "Iterator[Browser]":
    if CHROMIUM is None:
        if os.environ.get("MMGEN_BROWSER") == "required":
            pytest.fail("there is no chromium; apt-get install chromium")
        pytest.skip("there is no chromium; apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def visitor(browser: "Browser", address: str, width: int = 1280, height: int = 860) -> "Iterator[Page]":
    """Somebody with a browser profile of their own, whose page asks no strangers."""
    foreign: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    ours = (address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(ours) else foreign.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert not foreign, "the page asks strangers"


@pytest.fixture
def visit(browser: "Browser") -> "Callable[..., AbstractContextManager[Page]]":
    """`with visit(address) as page: ...`"""
    return partial(visitor, browser)


@pytest.fixture
def page(browser: "Browser", address: str) -> "Iterator[Page]":
    with visitor(browser, address) as page:
        yield page
