"""Reward models through the engine: conversations in, rewards out. Part of the wiring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost
from mmgen.engine.job import Request

if TYPE_CHECKING:
    import numpy as np

    from mmgen.models.lm.reward_model import RewardModel


class RewardClient:
    """A reward model whose passes are the engine's."""

    def __init__(self, host: ModelHost, reference: str, model: RewardModel) -> None:
        self.host, self.reference, self.model = host, reference, model
        self.objectives, self.temperature = model.head.objectives, model.temperature

    def score(self, conversations: Sequence[Sequence[Mapping[str, Any]]], request: Request | None = None) -> np.ndarray:
        """Rewards of conversations, each ending with an answer -> (N, objectives) float32. Raises TooLong."""
        import numpy as np

        rows = [self.model.encode(messages) for messages in conversations]
        found = self.host.submit(f"reward:{self.reference}", rows, request) if rows else []
        return np.array([one.tolist() for one in found], dtype=np.float32).reshape(len(rows), len(self.objectives))

    def totals(self, rewards: np.ndarray) -> np.ndarray:
        """(N, objectives) -> (N,), the objectives weighed as the recipe said."""
        total: np.ndarray = rewards @ self.model.weights.numpy()
        return total


def load(host: ModelHost, reference: str) -> RewardClient:
    """The client of a folder that `mmgen train reward` wrote."""
    from mmgen.models.lm.reward_model import RewardModel

    runner = f"reward:{reference}"
    model = host.open("reward", reference, runners=[runner], loader=lambda folder: RewardModel.load, precisions=False).model
    host.add_rows(runner, model, model.score_rows, row_bytes=64)
    return RewardClient(host, reference, model)
