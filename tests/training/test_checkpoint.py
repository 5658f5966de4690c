"""Checkpoints are whole or not there: a full disk leaves the one before."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from mmgen.errors import BadWeights, StoreError
from mmgen.training import checkpoint


def make(value: float = 0.5, width: int = 64) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Two layers that share a weight, and an optimizer that has seen a step."""
    model = nn.ModuleDict({"words": nn.Embedding(width, 64), "head": nn.Linear(64, width, bias=False)})
    model["head"].weight = model["words"].weight
    nn.init.constant_(model["head"].weight, value)
    optimizer = torch.optim.AdamW(model.parameters())
    model["head"].weight.sum().backward()
    optimizer.step()
    return model, optimizer


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond the limit: writes fail as on a full disk."""
    kept, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, handler)


def test_shared_weights_are_saved_once_and_come_back_shared(tmp_path: Path) -> None:
    model, optimizer = make()
    checkpoint.save(tmp_path / "c", model, optimizer, {"step": 3})
    other, fresh = make(0.0)
    assert checkpoint.load(tmp_path / "c", other, fresh) == {"step": 3}
    assert torch.equal(other["words"].weight, model["words"].weight)
    assert other["head"].weight is other["words"].weight
    assert fresh.state_dict()["state"][0]["step"] == 1
    assert (tmp_path / "c" / "model.safetensors").stat().st_size < 1.5 * 64 * 64 * 4


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    model, optimizer = make()
    checkpoint.save(tmp_path / "c", model, optimizer, {"step": 3})
    expected = model["words"].weight.detach().clone()
    nn.init.zeros_(model["words"].weight)
    said = r"c could not be saved \(.*\); the one before it stays; make room"
    with small_disk(20_000), pytest.raises(StoreError, match=said):  # the weights fit, the optimizer's state does not
        checkpoint.save(tmp_path / "c", model, optimizer, {"step": 4})
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert checkpoint.load(tmp_path / "c", model, optimizer) == {"step": 3}
    assert torch.equal(model["words"].weight, expected)


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    model, optimizer = make()
    checkpoint.save(tmp_path / "c", model, optimizer, {"step": 3})
    (tmp_path / "c").rename(tmp_path / "c.old")
    assert checkpoint.load(tmp_path / "c", model, optimizer) == {"step": 3}


def test_of_another_model(tmp_path: Path) -> None:
    model, optimizer = make()
    checkpoint.save(tmp_path / "c", nn.Linear(2, 2), optimizer, {"step": 3})
    with pytest.raises(BadWeights, match=r"is damaged \(it is of another model: bias, head\.weight"):
        checkpoint.load(tmp_path / "c", model, optimizer)
