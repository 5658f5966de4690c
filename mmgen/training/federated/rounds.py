"""Rounds of federated learning: ask clients, check what they answer, average, step. A round that ends is a checkpoint."""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.training import checkpoint
from mmgen.training.federated import messages
from mmgen.training.federated.fleets import Answers, ClientFleet
from mmgen.training.federated.messages import Message, Tensors
from mmgen.training.federated.privacy import PrivateMean, epsilon
from mmgen.training.federated.strategies import ServerOptimizer, weighted_mean

if TYPE_CHECKING:
    from mmgen.training.federated.recipe import FederatedRecipe

log = logging.getLogger(__name__)
EMPTY_ROUNDS = 3
"""In a row, without an update: then the run stops."""


class FederatedServer:
    """Holds the weights, and what a strategy keeps. `number` of `recipe.rounds` rounds are done."""

    def __init__(self, recipe: FederatedRecipe, fleet: ClientFleet, weights: Tensors) -> None:
        """`weights`: those to begin with, whose names and shapes hold for all. Goes on from `recipe.out`'s checkpoint."""
        self.recipe, self.fleet, self.weights = recipe, fleet, dict(weights)
        self.optimizer = ServerOptimizer(recipe.strategy)
        self.number, self.history = 0, list[dict[str, Any]]()
        self.private = _private(recipe, len(fleet.names))
        self._restore()

    def run(self, stop_after_minutes: float | None = None) -> bool:
        """The rounds that are left; True when all are done. Raises BadRequest after rounds without an update."""
        began = time.monotonic()
        while self.number < self.recipe.rounds:
            self._round()
            if stop_after_minutes is not None and time.monotonic() - began > 60 * stop_after_minutes:
                return self.number == self.recipe.rounds
        return True

    def _round(self) -> None:
        began = time.monotonic()
        chosen = self.chosen()
        answers = self.fleet.ask({name: Message("fit", self.number, {}, self.weights) for name in chosen})
        taken = self.accepted(answers)
        received = sum(one.tensor_bytes for one in answers.values() if isinstance(one, Message))
        row: dict[str, Any] = {"round": self.number + 1, "clients": len(chosen), "answers": len(taken)}
        row |= {"sent_bytes": len(chosen) * _bytes(self.weights), "received_bytes": received}
        if len(taken) < self.recipe.least:
            log.warning(
                "round %d: %d answers, at least %d are needed; the weights stay", self.number + 1, len(taken), self.recipe.least
            )
        else:
            mean = self._mean(taken)
            stepped = self.optimizer.step(self.weights, mean, self.number + 1)
            if not all(bool(tensor.isfinite().all()) for tensor in stepped.values()):
                raise BadRequest(f"round {self.number + 1} gives weights that are not finite; lower the rates or set max_norm")
            self.weights = stepped
            row |= {"loss": _over(taken, "loss"), "update_norm": messages.norm(mean)}
        self.number += 1
        if self.recipe.privacy is not None and self.private is not None:
            row |= {"epsilon": epsilon(self.recipe.privacy, self.recipe.share, self.number), "clip": self.private.clip}
        if self.number % self.recipe.validate_every == 0 or self.number == self.recipe.rounds:
            row |= self.evaluated()
        row["seconds"] = round(time.monotonic() - began, 2)
        self.history.append(row)
        self._save()
        empty = [one["answers"] < self.recipe.least for one in self.history[-EMPTY_ROUNDS:]]
        if len(empty) == EMPTY_ROUNDS and all(empty):
            raise BadRequest(
                f"{EMPTY_ROUNDS} rounds in a row had fewer than {self.recipe.least} answers; see why, and start again"
            )

    def chosen(self) -> list[str]:
        """This round's clients."""
        if self.private is not None:
            return [name for name in self.fleet.names if self.private.asked(name, self.number, self.recipe.share)]
        rng = random.Random(f"{self.recipe.seed}:{self.number}")
        names = list(self.fleet.names)
        return sorted(rng.sample(names, max(1, round(self.recipe.share * len(names)))))

    def accepted(self, answers: Answers) -> dict[str, Message]:
        """Those that can be averaged; of the others it is told why not."""
        taken = {}
        for name, answer in sorted(answers.items()):
            try:
                if isinstance(answer, str):
                    raise BadRequest(answer)
                if answer.kind == "failed":
                    raise BadRequest(str(answer.values.get("why"))[:300])
                if (answer.kind, answer.round) != ("fit", self.number):
                    raise BadRequest(f"it answers {answer.kind[:20]} of round {answer.round + 1}")
                messages.check_told(answer.values)
                messages.check_update(answer.tensors, self.weights, self.recipe.max_norm)
                taken[name] = answer
            except BadRequest as why:
                log.warning("round %d without %s: %s", self.number + 1, name, why)
        return taken

    def _mean(self, taken: Mapping[str, Message]) -> dict[str, Tensor]:
        if self.private is not None:
            return self.private.mean({name: one.tensors for name, one in taken.items()}, self.weights, self.number)
        equally = self.recipe.strategy.weigh == "equally"
        counts = {name: 1.0 if equally else float(answer.values["examples"]) for name, answer in taken.items()}
        return weighted_mean({name: answer.tensors for name, answer in taken.items()}, counts)

    def evaluated(self) -> dict[str, Any]:
        """The held-out loss of each client, by name, and their mean over examples."""
        answers = self.fleet.ask({name: Message("evaluate", self.number, {}, self.weights) for name in self.fleet.names})
        found = {name: one for name, one in answers.items() if isinstance(one, Message) and _is_evaluation(one.values)}
        for name in sorted(answers.keys() - found.keys()):
            log.warning("round %d is not evaluated by %s", self.number, name)
        if not found:
            return {}
        return {
            "validation": _over(found, "validation"),
            "validation_of": {name: one.values["validation"] for name, one in sorted(found.items())},
        }

    def _save(self) -> None:
        from safetensors.torch import save_file

        def write(folder: Path) -> None:
            save_file(self.weights, folder / "weights.safetensors")
            save_file(self.optimizer.state(), folder / "server.safetensors")
            state: dict[str, Any] = {"rounds": self.number, "history": self.history}
            (folder / "state.json").touch(0o600)  # it may hold the secret of noise
            if self.private is not None:
                state["privacy"] = self.private.state()
            (folder / "state.json").write_text(json.dumps(state))

        checkpoint.replaced(self.recipe.out / "checkpoint", write)
        rows = [{"step": row["round"], **{key: value for key, value in row.items() if key != "round"}} for row in self.history]
        (self.recipe.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def _restore(self) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = self.recipe.out / "checkpoint"
        old = folder.with_name("checkpoint.old")
        if not folder.exists() and old.exists():
            old.rename(folder)  # killed between the two renames
        if not folder.exists():
            return
        try:
            weights = load_file(folder / "weights.safetensors")
            if {n: t.shape for n, t in weights.items()} != {n: t.shape for n, t in self.weights.items()}:
                raise ValueError("it is of another model")
            self.optimizer.load(load_file(folder / "server.safetensors"))
            state = json.loads((folder / "state.json").read_text())
            if self.private is not None:
                self.private.load(state["privacy"])
            self.weights, self.number, self.history = weights, int(state["rounds"]), list(state["history"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as why:
            raise BadWeights(f"checkpoint {folder} is damaged ({why}); delete it to start anew") from None


def _private(recipe: FederatedRecipe, clients: int) -> PrivateMean | None:
    """Raises BadRequest for what privacy does not go with."""
    if recipe.privacy is None:
        return None
    if recipe.strategy.weigh != "equally":
        raise BadRequest("privacy bounds what one client changes, so that examples cannot weigh; set strategy.weigh to equally")
    spent = epsilon(recipe.privacy, recipe.share, recipe.rounds)
    log.warning("%d rounds will spend epsilon %.3g at delta %g for a client", recipe.rounds, spent, recipe.privacy.delta)
    return PrivateMean(recipe.privacy, recipe.share * clients)


def _bytes(tensors: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _is_evaluation(values: Mapping[str, Any]) -> bool:
    loss, examples = values.get("validation"), values.get("examples")
    return isinstance(loss, float) and math.isfinite(loss) and type(examples) is int and 0 < examples < 2**40


def _over(answers: Mapping[str, Message], key: str) -> float:
    """The mean over clients' examples."""
    counts = {name: int(one.values["examples"]) for name, one in answers.items()}
    return sum(counts[name] * float(one.values[key]) for name, one in sorted(answers.items())) / sum(counts.values())
