"""The recipe of federated learning."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from pydantic import Field

from mmgen.config import Config
from mmgen.training.federated import tasks
from mmgen.training.federated.privacy import PrivacyConfig
from mmgen.training.federated.strategies import StrategyConfig


class SimulationConfig(Config):
    """The `simulate` section."""

    dropout: float = Field(default=0.0, ge=0, le=1)  # chance that a client gives no answer in a round
    late: float = Field(default=0.0, ge=0, le=1)  # chance that its answer comes too late
    actors: int = Field(default=0, ge=0)  # processes of Ray that share the clients; 0: this process alone


class FederatedRecipe(Config):
    """configs/train/federated.yaml"""

    out: Path = Path("runs/federated")
    data: Path | None = None  # a folder with a file or folder for each client
    clients: tuple[str, ...] = ()  # their names below `data`; empty: all
    task: str = "texts"  # whose work a client does: texts, lm, sft, dpo, reward
    recipe: dict[str, Any]  # that task's own, without data, out and steps
    sample: Path | None = None  # the server's own data of the same form; it measures on what of it is held out
    rounds: int = Field(..., ge=1)
    local_steps: int = Field(default=10, ge=1)  # of a client, each round
    epochs: float | None = Field(default=None, gt=0)  # over its own data in place of `local_steps`
    strategy: StrategyConfig = StrategyConfig()
    share: float = Field(default=1.0, gt=0, le=1)  # of the clients, asked in a round
    least: int = Field(default=2, ge=1)  # answers without which a round changes nothing
    max_norm: float | None = Field(default=None, gt=0)  # an update of a larger L2 norm is refused
    validate_every: int = Field(default=1, ge=1)  # rounds
    round_seconds: float | None = Field(default=None, gt=0)  # a later answer does not count; None: all are waited for
    privacy: PrivacyConfig | None = None
    seed: int = 0
    simulate: SimulationConfig = SimulationConfig()

    def local_steps_of(self, examples: int, batch: int) -> int:
        """Of a client with so many examples."""
        return self.local_steps if self.epochs is None else max(1, math.ceil(self.epochs * examples / batch))

    def digest(self) -> str:
        """Of what both sides must agree on; the base model's path may differ."""
        said = self.model_dump(mode="json", include={"task", "recipe", "rounds", "local_steps", "epochs", "strategy"})
        said["recipe"] = {key: value for key, value in said["recipe"].items() if key not in ("base", "tokenizer")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def task_of(self, data: Path, out: Path) -> Any:
        return tasks.build(self.task, self.recipe, data, out, self.rounds * self.local_steps)
