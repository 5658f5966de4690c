import os
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from mmgen.cluster.local_nodes import local_nodes
from mmgen.cluster.ray_connection import NICENESS
from mmgen.errors import BadRequest


class FakeCluster:
    """Of Ray, as far as it is used."""

    made: ClassVar[list["FakeCluster"]] = []

    def __init__(self) -> None:
        self.nodes, self.ended, self.address = list[Any](), False, "127.0.0.1:1"
        self.made.append(self)

    def add_node(self, **options: Any) -> None:
        if len(self.nodes) == 3:
            raise RuntimeError("The current node timed out during startup")
        self.nodes.append(options)

    def shutdown(self) -> None:
        self.ended = True


def test_nodes_of_one_core_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NICENESS, raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray.cluster_utils", SimpleNamespace(Cluster=FakeCluster))
    with local_nodes(2) as address:
        assert address == "127.0.0.1:1" and [one["num_cpus"] for one in FakeCluster.made[-1].nodes] == [1, 1]
        assert not FakeCluster.made[-1].ended and os.environ[NICENESS] == "0"
    assert FakeCluster.made[-1].ended
    with pytest.raises(RuntimeError, match="timed out"), local_nodes(4):
        pass
    assert FakeCluster.made[-1].ended, "those that came up are not left behind"


def test_what_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="a cluster of 0 nodes is none"), local_nodes(0):
        pass
    monkeypatch.setitem(sys.modules, "ray.cluster_utils", None)
    with pytest.raises(BadRequest, match=r"Ray is not installed; pip install 'mmgen\[ray\]'"), local_nodes(1):
        pass
