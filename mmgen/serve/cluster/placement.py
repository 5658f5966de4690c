"""What models need, and whether there are nodes for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmgen import hub, weight_files
from mmgen.cluster.replica_state import ModelInfo
from mmgen.errors import TooLarge
from mmgen.serve.cluster.settings import ReplicaGroup

STARTS_S, BYTES_S = 2.0, 500e6
"""What loading a model is taken to cost until it is known: seconds, and bytes a second."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    cpus: float
    gpus: float
    memory: int  # bytes


def infos(references: Iterable[str]) -> dict[str, ModelInfo]:
    """By the files of each model. Raises NotFound for one that is not here."""
    found = {}
    for reference in references:
        nbytes = sum(path.stat().st_size for path in weight_files.used(hub.resolve(reference.partition("#")[0])))
        found[reference] = ModelInfo(nbytes, STARTS_S + nbytes / BYTES_S)
    return found


def check(groups: Mapping[str, ReplicaGroup], nodes: Iterable[Node], models: Mapping[str, ModelInfo]) -> None:
    """Raises TooLarge for a group that no node has what it needs for, with the numbers."""
    nodes = list(nodes)
    for name, group in groups.items():
        for what, needed, have in (("CPUs", group.cpus, "cpus"), ("GPUs", group.gpus, "gpus")):
            most = max((getattr(node, have) for node in nodes), default=0.0)
            if needed > most:
                raise TooLarge(
                    f"a replica of {name} takes {needed:g} {what}, the largest node has {most:g}; ask for less in "
                    f"cluster.replicas.{name}, or add a larger node"
                )
        _check_memory(name, group, nodes, models)


def _check_memory(name: str, group: ReplicaGroup, nodes: list[Node], models: Mapping[str, ModelInfo]) -> None:
    """A model has to fit into what its group says, or else a node without a GPU into its memory."""
    able = [node for node in nodes if node.cpus >= group.cpus]
    room = group.memory or (max((node.memory for node in able), default=0) if not group.gpus else None)
    for model in group.models:
        if room is not None and models[model].nbytes > room:
            where = f"cluster.replicas.{name}.memory is" if group.memory else "the largest node has"
            raise TooLarge(
                f"{model} takes {models[model].nbytes / 1e9:.3g} GB, {where} {room / 1e9:.3g} GB; take it in a lower "
                "precision, or place it elsewhere"
            )
