"""Training state on disk, in safetensors and JSON: a run that was killed goes on where its last checkpoint stood."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Writes beside the old checkpoint and then takes its place, so that one whole checkpoint always exists."""
    from safetensors.torch import save_file

    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, fresh / "model.safetensors")
    state = optimizer.state_dict()["state"]
    moments = {f"{index}.{name}": torch.as_tensor(value) for index, row in state.items() for name, value in row.items()}
    save_file({name: tensor.contiguous() for name, tensor in moments.items()}, fresh / "optimizer.safetensors")
    (fresh / "progress.json").write_text(json.dumps(progress))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


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
        model.load_state_dict(load_file(folder / "model.safetensors"))
        rows: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(folder / "optimizer.safetensors").items():
            index, field = name.split(".", 1)
            rows.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": rows, "param_groups": optimizer.state_dict()["param_groups"]})
        return dict(json.loads((folder / "progress.json").read_text()))
    except (OSError, ValueError, RuntimeError, SafetensorError) as why:
        raise BadWeights(f"checkpoint {folder} is damaged ({why}); delete it to start anew") from None
