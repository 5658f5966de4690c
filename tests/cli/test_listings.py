"""`mmgen models`, `pipelines` and `plugins`, for people and as JSON."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mmgen.cli.main import main
from mmgen.registry import Registry


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def register(mm: Registry) -> None:
    mm.pipelines.add("gone", "no_such_module:gone", "Was there once")


def test_models(run: Callable[..., str]) -> None:
    head, *rows = run("models").splitlines()
    assert head.split() == ["reference", "kind", "size", "licence", "where"]
    assert rows[0].split()[:5] == ["embedded:minilm", "encoder", "91", "MB", "Apache-2.0"] and rows[0].endswith("/model")
    (minilm, *_) = json.loads(run("models", "--json"))
    assert minilm["reference"] == "embedded:minilm" and minilm["bytes"] == 90868376


def test_pipelines(run: Callable[..., str], plug: Callable[..., None]) -> None:
    plug(pixel=register)
    lines = run("pipelines").splitlines()
    assert lines[0] == "rag-text  Answer a question from your documents, with citations"
    assert lines[1].startswith("  rag-text(question: str, store: str | None = None, ")
    assert lines[2] == "rag-search  The passages of a store nearest to a query"
    assert lines[4] == "txt2img  Generate images from a prompt" and lines[5].startswith(
        "  txt2img(prompt: str | Sequence[str], "
    )
    assert lines[-2] == "gone  Was there once (plugin pixel)" and "cannot be imported" in lines[-1]


def test_pipelines_as_json(run: Callable[..., str]) -> None:
    (rag,) = [one for one in json.loads(run("pipelines", "--json")) if one["name"] == "rag-text"]
    by_name: dict[str, Any] = {parameter.pop("name"): parameter for parameter in rag["parameters"]}
    assert by_name["question"] == {"type": "str", "required": True, "default": None, "help": "what to ask."}
    assert by_name["k"]["default"] == 5 and rag["owner"] == "builtin" and not rag["error"]


def test_plugins(run: Callable[..., str], plug: Callable[..., None]) -> None:
    plug(pixel=register, broken=lambda: None)
    head, *rows = run("plugins").splitlines()
    assert head.split()[:3] == ["plugin", "version", "status"]
    assert rows[0].split()[0] == "builtin" and "pipelines/rag-text" in rows[0]
    assert "failed" in rows[1] and "TypeError" in rows[1] and rows[2].split()[2:] == ["ok", "pipelines/gone"]
    assert [one["status"] for one in json.loads(run("plugins", "--json"))] == ["ok", "failed", "ok"]
