from pathlib import Path

import pytest

from mmgen.cluster.replica_state import ModelInfo
from mmgen.errors import MmgenError, TooLarge
from mmgen.serve.cluster.placement import Node, check, infos
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup

NODES = [Node("small", 2, 0, 4 * 10**9), Node("large", 8, 1, 16 * 10**9)]
MODELS = {"a": ModelInfo(9 * 10**9)}


def test_a_model_needs_what_its_files_are(tiny_llama: Path) -> None:
    found = infos([f"{tiny_llama}#int8"])
    nbytes = sum(path.stat().st_size for path in tiny_llama.glob("*.safetensors"))
    assert found[f"{tiny_llama}#int8"].nbytes == nbytes


def test_what_fits_some_node_is_right() -> None:
    check({"one": ReplicaGroup(models=("a",), cpus=8), "other": ReplicaGroup(models=("a",), gpus=1)}, NODES, MODELS)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (ReplicaGroup(cpus=9), "a replica of one takes 9 CPUs, the largest node has 8; ask for less in cluster.replicas.one"),
        (ReplicaGroup(gpus=2), "a replica of one takes 2 GPUs, the largest node has 1"),
        (ReplicaGroup(models=("a",), memory="8 GB"), "a takes 9 GB, cluster.replicas.one.memory is 8 GB; take it in a lower"),
    ],
)
def test_what_fits_no_node_is_told_with_the_numbers(group: ReplicaGroup, told: str) -> None:
    with pytest.raises(TooLarge, match=told):
        check({"one": group}, NODES, MODELS)
    with pytest.raises(TooLarge, match="a takes 9 GB, the largest node has 4 GB; take it in a lower precision"):
        check({"one": ReplicaGroup(models=("a",))}, NODES[:1], MODELS)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="min is 3, above max 2"):
        ReplicaGroup(min=3, max=2)
    with pytest.raises(MmgenError, match="name at least one group"):
        ClusterConfig(replicas={}).named()
