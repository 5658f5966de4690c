"""Training checkpoints in safetensors and JSON; an interrupted run resumes from the last one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights, StoreError
from mmgen.models.checkpoints.safetensors_io import some


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Writes a new checkpoint, then replaces the old one atomically. Raises StoreError on a full disk; the old one stays."""
    from safetensors.torch import save_file

    def write(fresh: Path) -> None:
        save_file(_once(model.state_dict()), fresh / "model.safetensors")
        state = optimizer.state_dict()["state"]
        moments = {f"{index}.{name}": torch.as_tensor(value) for index, row in state.items() for name, value in row.items()}
        save_file({name: tensor.contiguous() for name, tensor in moments.items()}, fresh / "optimizer.safetensors")
        (fresh / "progress.json").write_text(json.dumps(progress))

    replaced(folder, write)


def replaced(folder: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a new folder, which then takes the place of the old one, so that one whole folder always exists.

    Raises StoreError where it could not be written; the old one stays.
    """
    from safetensors import SafetensorError

    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        write(fresh)
    except (OSError, SafetensorError) as why:
        shutil.rmtree(fresh, ignore_errors=True)
        kept = "the one before it stays; " if folder.exists() else ""
        raise StoreError(
            f"{folder} could not be saved ({why}); {kept}make room on the disk and start the command again"
        ) from None
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors to save: tied ones, such as a tied head, under their first name only."""
    first: dict[tuple[int, torch.Size], str] = {}
    for name, tensor in state.items():
        first.setdefault((tensor.data_ptr(), tensor.shape), name)
    return {name: state[name].contiguous() for name in first.values()}


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restores both and returns the progress, or None where there is no checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():
        old.rename(folder)  # killed between the two renames
    if not folder.exists():
        return None
    try:
        tensors = load_file(folder / "model.safetensors")
        left_out = set(model.state_dict()) - set(_once(model.state_dict()))
        missing, unknown = model.load_state_dict(tensors, strict=False)
        if unknown or set(missing) != left_out:
            raise ValueError(f"it is of another model: {some(sorted({*unknown, *missing}))}")
        rows: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(folder / "optimizer.safetensors").items():
            index, field = name.split(".", 1)
            rows.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": rows, "param_groups": optimizer.state_dict()["param_groups"]})
        return dict(json.loads((folder / "progress.json").read_text()))
    except (OSError, ValueError, RuntimeError, SafetensorError) as why:
        raise BadWeights(f"checkpoint {folder} is damaged ({why}); delete it to start anew") from None
