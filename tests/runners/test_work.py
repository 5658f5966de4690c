"""Every runner says what kind of work it does, so that the engine's activity needs no table of names."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest

from apps.engine_html import WORK
from mmgen import runners
from mmgen.engine.call_runner import CallRunner
from mmgen.runners.token_batch import TokenBatchRunner

METHODS = ("key", "reserve", "step", "release")


def runner_classes() -> list[type[Any]]:
    modules = [importlib.import_module(f"mmgen.runners.{one.name}") for one in pkgutil.iter_modules(runners.__path__)]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and not inspect.isabstract(value) and all(hasattr(value, name) for name in METHODS)
    }
    return sorted(found | {CallRunner}, key=lambda one: one.__name__)


@pytest.mark.parametrize("runner", runner_classes())
def test_a_runner_says_what_it_does(runner: type[Any]) -> None:
    made: Any = TokenBatchRunner(lambda rows: rows) if runner is TokenBatchRunner else runner
    assert made.work in WORK[:-1], "a kind of work that the Engine tab shows under its own name"


def test_all_are_found() -> None:
    names = {one.__name__ for one in runner_classes()}
    assert {"TextRunner", "DenoiseRunner", "VAEDecodeRunner", "TokenBatchRunner", "CaptionRunner", "PipelineRunner"} <= names
