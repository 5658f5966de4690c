"""Answers as tensors, with what they teach, in memory and in files from which a run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.training.chunked_cross_entropy import IGNORED


@dataclass(frozen=True)
class RolloutBatch:
    """Answers behind their prompts, padded behind their ends; those of one prompt stand together."""

    ids: Tensor  # (B, N)
    targets: Tensor  # (B, N) the next tokens, IGNORED outside the answers
    rewards: Tensor  # (B,)
    before: Tensor  # (B, N) log-probabilities of the targets by the policy that wrote them; zeros where they are not needed
    reference: Tensor  # (B, N) and by the base model; zeros without a KL divergence
    advantages: Tensor  # (B, N)
    values: Tensor  # (B, N) PPO: what the value head expected
    returns: Tensor  # (B, N) and what it should have
    tokens: float  # of an answer, in the mean over the step

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[int], Sequence[int]]], rewards: Sequence[float]) -> RolloutBatch:
        """Ids of prompts and of their answers; what is learned from them is to come."""
        size = max(len(prompt) + len(answer) for prompt, answer in rows) - 1
        ids, targets = torch.zeros(len(rows), size, dtype=torch.long), torch.full((len(rows), size), IGNORED)
        for number, (prompt, answer) in enumerate(rows):
            whole = torch.tensor([*prompt, *answer])
            ids[number, : len(whole) - 1] = whole[:-1]
            targets[number, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
        none = torch.zeros(ids.shape)
        return cls(
            ids, targets, torch.tensor(rewards), none, none, none, none, none, float((targets != IGNORED).sum(1).float().mean())
        )

    @property
    def mask(self) -> Tensor:
        """(B, N) true where the next token is an answer's."""
        return self.targets != IGNORED

    def to(self, device: torch.device) -> RolloutBatch:
        return self._each(lambda one: one.to(device))

    def parts(self, size: int) -> list[RolloutBatch]:
        """The rows, so many at once; 0: all."""
        size = size or len(self.ids)
        return [self._each(lambda one, at=at: one[at : at + size]) for at in range(0, len(self.ids), size)]  # type: ignore[misc]

    def _tensors(self) -> dict[str, Tensor]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "tokens"}

    def _each(self, change: Callable[[Tensor], Tensor]) -> RolloutBatch:
        changed: dict[str, Any] = {name: change(one) for name, one in self._tensors().items()}
        return replace(self, **changed)


class RolloutFiles:
    """Answers from which several steps learn: a run that is resumed between these finds them again."""

    def __init__(self, out: Path) -> None:
        self.folder, self.progress = out / "rollouts", out / "checkpoint" / "progress.json"

    def keep(self, step: int, batch: RolloutBatch) -> None:
        """Those drawn at a step; such as no checkpoint needs any more are deleted."""
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        needed = json.loads(self.progress.read_text())["step"] if self.progress.is_file() else 0
        kept = sorted(int(path.stem) for path in self.folder.glob("*.safetensors"))
        for old in [one for one in kept if one < needed][:-1]:
            self._path(old).unlink()
        tensors = {name: one.clone() for name, one in batch._tensors().items()}
        save_file(tensors, self._path(step), metadata={"tokens": repr(batch.tokens)})

    def read(self, step: int) -> RolloutBatch | None:
        """None where none were kept."""
        from safetensors import safe_open

        if not self._path(step).is_file():
            return None
        with safe_open(self._path(step), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            return RolloutBatch(**tensors, tokens=float(file.metadata()["tokens"]))

    def _path(self, step: int) -> Path:
        return self.folder / f"{step}.safetensors"
