"""What many tests need: a home of their own, and plugins that no package brings."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cli_call import call  # noqa: F401  a fixture
from color_encoder import colour_home, colours, painter  # noqa: F401  fixtures
from diffusion_models import diffusion_transformer, pixel_model, stable_diffusion, studio, unconditional  # noqa: F401  fixtures
from fake_hub import fake_hub  # noqa: F401  a fixture
from postgres_server import postgres, records_at, store_at, tables_at  # noqa: F401  fixtures
from pulled import smollm2  # noqa: F401  a fixture
from ray_nodes import quick_start  # noqa: F401  a fixture
from scripted_lm import say  # noqa: F401  a fixture
from threads import two_threads  # noqa: F401  a fixture
from tiny_llama import tiny_draft, tiny_llama, writer  # noqa: F401  fixtures
from tiny_models import tiny_encoder, tiny_home, tiny_reader, tiny_runtime  # noqa: F401  fixtures
from vision_models import seer, tiny_clip, tiny_vit  # noqa: F401  fixtures

from mmgen import plugins

os.environ["MMGEN_PRECISION"] = "safe"  # no test's precision is chosen by time


def pytest_collection_finish() -> None:
    """Python's collector, which libraries call at will, does not look at ten thousand tests each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMGEN_HOME in a temporary folder: no test reads or writes the user's."""
    folder = tmp_path_factory.mktemp("home") / "mmgen"
    monkeypatch.setenv("MMGEN_HOME", str(folder))
    monkeypatch.delenv("MMGEN_PLUGINS", raising=False)
    return folder


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`plug(pixel=register, ...)`: makes these the installed plugins, beside our own."""

    def install(**registers: Any) -> None:
        module = ModuleType("plugged")
        vars(module).update(registers)
        monkeypatch.setitem(sys.modules, "plugged", module)
        points = [EntryPoint(name, f"plugged:{name}", plugins.GROUP) for name in registers]
        monkeypatch.setattr(plugins, "entry_points", lambda group: points)
        plugins.registry.cache_clear()

    yield install
    plugins.registry.cache_clear()
