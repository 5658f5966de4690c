"""Loading models through the host: which loader, under which name, with what; and a plugin's runner."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmgen.clients.host import ModelHost, registered
from mmgen.config import RuntimeConfig
from mmgen.engine.engine import Engine
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.scheduling.simple_policies import Fifo
from mmgen.errors import NotFound
from mmgen.registry import Registry

CALLS: list[tuple[str, dict[str, Any]]] = []


def load_special(folder: Path, **options: Any) -> nn.Module:
    CALLS.append((folder.name, options))
    return nn.Linear(2, 3)


def load_other(folder: Path, **options: Any) -> nn.Module:
    CALLS.append((folder.name, options))
    return nn.Linear(1, 1)


class Doubling:
    """A runner whose jobs are numbers."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def key(self, job: Any) -> int:
        return 0

    def reserve(self, job: Any) -> int:
        return 0

    def step(self, jobs: Sequence[Any]) -> None:
        for job in jobs:
            job.finish(self.factor * job.payload)

    def release(self, job: Any) -> None:
        """Nothing was held."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ModelHost]:
    registry = Registry("test")
    registry.encoders.add("special", f"{__name__}:load_special")
    registry.encoders.add("other", f"{__name__}:load_other")
    registry.runners.add("doubling", f"{__name__}:Doubling")
    engine = Engine({}, Fifo(), Ledger(None, "cpu"))
    yield ModelHost(engine, registry, RuntimeConfig(device="cpu", threads=torch.get_num_threads()), tmp_path)
    engine.close()
    CALLS.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "special"}))
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    return folder


def test_the_loader_is_chosen_by_model_type(host: ModelHost, folder: Path) -> None:
    choose = registered(host.registry.encoders, "other")
    assert choose(folder) is load_special
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    assert choose(folder) is load_other
    (folder / "config.json").write_text("no json")
    assert registered(host.registry.encoders, lambda folder: "other")(folder) is load_other


def test_a_model_is_loaded_with_its_precision_and_prepared(host: ModelHost, folder: Path) -> None:
    loader = registered(host.registry.encoders, "other")
    opened = host.open("encoder", f"{folder}#int8", runners=["encode:x"], loader=loader, prepare=lambda model: model.eval())
    assert [("model", {"device": "cpu", "name": f"{folder}#int8", "precision": "int8"})] == CALLS
    assert opened.folder == folder and not opened.model.training
    (one,) = host.engine.models
    assert one.name == f"encoder {folder}#int8" and one.runners == {"encode:x"} and one.nbytes == 4 * (2 * 3 + 3)


def test_models_that_belong_together(host: ModelHost, folder: Path) -> None:
    """Such as a language model and its draft: one entry in the pool."""
    loader = registered(host.registry.encoders, "other")
    names = str(folder), str(folder)
    opened = host.open("encoder", *names, runners=[], loader=loader, key="both", precisions=False, pinned=True)
    assert len(opened.models) == len(opened.folders) == 2 and opened.models[0] is not opened.models[1]
    (one,) = host.engine.models
    assert one.name == "encoder both" and one.pinned
    assert all("precision" not in options for _, options in CALLS)


def test_a_runner_comes_from_the_registry_once(host: ModelHost) -> None:
    runner = host.runner("doubling", "triple", factor=3)
    assert isinstance(runner, Doubling) and host.runner("doubling", "triple", factor=3) is runner
    assert host.submit("triple", 7) == 21
    with pytest.raises(NotFound, match='no runner "dubling" \\(did you mean "doubling"'):
        host.runner("dubling", "other")
