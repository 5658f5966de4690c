"""Plugins by entry points: a broken one is listed with its error and breaks nothing else. Ends with a real one, installed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from cli_call import Call

from mmgen import plugins
from mmgen.engine.job import Job
from mmgen.interfaces import Hit
from mmgen.registry import PluginInfo, Registry
from mmgen.runtime import Runtime
from mmgen.stores.documents import DocumentStore

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugins" / "mmgen_pixel"
Plug = Callable[..., None]


def good(mm: Registry) -> None:
    mm.pipelines.add("pixel-map", "mmgen_pixel.pixel_map:pixel_map", "A map")


def info(name: str) -> PluginInfo:
    return next(plugin for plugin in plugins.registry().plugins if plugin.name == name)


def test_a_good_plugin_is_absorbed(plug: Plug) -> None:
    plug(pixel=good)
    assert info("pixel").status == "ok" and info("pixel").registered == ("pipelines/pixel-map",)
    assert plugins.registry().pipelines.entry("pixel-map").owner == "pixel"
    assert info("builtin").registered[0] == "pipelines/rag-text"


def raising(error: BaseException) -> Callable[[Registry], None]:
    def register(mm: Registry) -> None:
        mm.pipelines.add("half", "a:b")
        raise error

    return register


@pytest.mark.parametrize(
    ("register", "error"),
    [
        (raising(ValueError("on two\nlines")), "ValueError: on two lines"),
        (raising(SystemExit(3)), "SystemExit: 3"),
        (lambda: None, "TypeError: "),
        (lambda mm: mm.pipelnes, 'did you mean "pipelines"'),
        (lambda mm: mm.pipelines.add("Bad Name", "a:b"), "names are lowercase words"),
        ("no function", "plugged:broken is not a function; it should be register(mm)"),
    ],
)
def test_a_broken_plugin_breaks_nothing_else(plug: Plug, register: Any, error: str) -> None:
    plug(broken=register, pixel=good)
    assert info("broken").status == "failed" and error in info("broken").error and "\n" not in info("broken").error
    assert info("pixel").status == "ok"
    assert "half" not in plugins.registry().pipelines and "rag-text" in plugins.registry().pipelines


def test_ctrl_c_while_loading_is_the_users(plug: Plug) -> None:
    plug(slow=raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        plugins.registry()


def test_a_missing_module_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("gone", "no_such_module:register", plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    (found,) = [plugin for plugin in plugins.load_plugins().plugins if plugin.name == "gone"]
    assert found.error == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_clash_names_both_owners(plug: Plug) -> None:
    plug(beta=good, alpha=good, gamma=lambda mm: mm.pipelines.add("rag-text", "a:b"))
    assert info("alpha").status == "ok"
    assert info("beta").error == 'pipeline "pixel-map" of beta is already registered by alpha; rename it'
    assert info("gamma").error == 'pipeline "rag-text" of gamma is already registered by builtin; rename it'


def test_two_packages_with_one_plugin_name(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [EntryPoint("same", "mmgen_a:register", plugins.GROUP), EntryPoint("builtin", "mmgen_b:register", plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: twice)
    statuses = [(p.name, p.status) for p in plugins.load_plugins().plugins]
    assert statuses == [("builtin", "ok"), ("builtin", "failed"), ("same", "failed")]


def test_the_allow_list(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGEN_PLUGINS", " pixel, ")
    plug(pixel=good, other=lambda mm: mm.pipelines.add("other", "a:b"))
    assert info("pixel").status == "ok" and info("other").status == "off" and info("builtin").status == "ok"
    assert "other" not in plugins.registry().pipelines


def test_an_empty_allow_list_leaves_our_own(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGEN_PLUGINS", "")
    plug(pixel=good)
    assert [p.status for p in plugins.registry().plugins] == ["ok", "off"]


def test_the_allow_list_names_what_is_not_installed(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGEN_PLUGINS", "pixle")
    plug(pixel=good)
    assert info("pixle").status == "failed" and info("pixle").error.endswith('(did you mean "pixel"?)')


class Journal(DocumentStore):
    """A store with a log of its searches."""

    def search(self, query: str | None = None, vector: Any = None, k: int = 5, *rest: Any, **options: Any) -> list[Hit]:
        with (self.path / "searches.log").open("a") as log:
            print(query, k, file=log)
        return super().search(query, vector, k, *rest, **options)


class Shortest:
    """A reranker: short passages first."""

    def __init__(self, store: Journal) -> None:
        assert isinstance(store, Journal)

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        return sorted(hits, key=lambda hit: len(hit.passage.text))[:k]


class WordCounter:
    """A runner: a word of each job a step."""

    def key(self, job: Job) -> str:
        return "words"

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == len(job.payload.split()):
                job.finish(job.state)

    def release(self, job: Job) -> None:
        job.state = None


def count_words(rt: Runtime, text: str) -> int:
    """Count a text's words on the device.

    text: at least one word.
    """
    rt.host.runner("word-counter", "count")
    counted: int = rt.submit("count", text)
    return counted


def whole(mm: Registry) -> None:
    mm.stores.add("journal", f"{__name__}:Journal")
    mm.rerankers.add("shortest", f"{__name__}:Shortest")
    mm.runners.add("word-counter", f"{__name__}:WordCounter")
    mm.pipelines.add("count-words", f"{__name__}:count_words")


def test_one_plugin_brings_a_store_a_reranker_and_a_runner(plug: Plug, call: Call, tiny_home: Path, tmp_path: Path) -> None:
    """Each is used by a command, as a user would type it."""
    plug(whole=whole)
    assert set(info("whole").registered) == {
        "stores/journal", "rerankers/shortest", "runners/word-counter", "pipelines/count-words",
    }  # fmt: skip
    texts = {"lamp": "The lamp was lit in 1823.", "lamps": "The lamp was lit, and then another lamp.", "sea": "A lamp."}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    assert call("rag", "add", tmp_path, "--store", "journal://notes").code == 0
    found = call("rag", "search", "lamp", "--store", "journal://notes", "-k", "2", "--rerank", "shortest", "--json")
    assert [hit["passage"]["text"] for hit in json.loads(found.out)] == [texts["sea"], texts["lamp"]]
    assert (tiny_home / "stores" / "notes" / "searches.log").read_text() == "lamp 8\n", "four times as many are ranked anew"
    assert call("count-words", "a runner of its own").out == "5\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the example is installed as any package would be."""
    where = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(where), str(EXAMPLE)], check=True, capture_output=True)
    home = str(tmp_path_factory.mktemp("home"))
    return {**os.environ, "PYTHONPATH": str(where), "MMGEN_HOME": home, "PYTHONIOENCODING": "utf-8"}


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mmgen.cli.main import main; main()", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_example_becomes_a_command(installed: dict[str, str]) -> None:
    done = run(installed, "pixel-map", "a cat", "--labels", "piano", "--labels", "kitten", "--grid", "16")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("kitten █") and second.startswith("piano  █"), "nearest first"
    assert first.count("█") > second.count("█")


def test_the_example_refuses_in_one_line(installed: dict[str, str]) -> None:
    refused = run(installed, "pixel-map", "a cat", "--grid", "0")
    assert refused.returncode == 2 and refused.stderr == "error: grid is 0; it can be 1 to 200 blocks\n"


def test_the_example_is_listed(installed: dict[str, str]) -> None:
    listed = json.loads(run(installed, "plugins", "--json").stdout)
    assert {"name": "pixel", "version": "0.1.0", "status": "ok", "error": "", "registered": ["pipelines/pixel-map"]} in listed
    assert "pixel-map" in run(installed, "--help").stdout
    off = run({**installed, "MMGEN_PLUGINS": ""}, "pixel-map", "a cat")
    assert off.returncode == 2 and 'there is no command "pixel-map"' in off.stderr
