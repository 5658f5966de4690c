"""Several nodes of Ray on one machine, for demonstrations and measurements. Ray is imported where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmgen.cluster.ray_connection import STORE_BYTES, full_priority
from mmgen.errors import BadRequest


@contextmanager
def local_nodes(count: int) -> Iterator[str]:
    """The address of a Ray of that many nodes with one core each, which ends with the block.

    Raises BadRequest where Ray is not installed, or for no node.
    """
    if count < 1:
        raise BadRequest(f"a cluster of {count} nodes is none; take at least 1")
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        raise BadRequest("Ray is not installed; pip install 'mmgen[ray]'") from None
    full_priority()
    cluster = Cluster()
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, include_dashboard=False)
        yield str(cluster.address)
    finally:
        cluster.shutdown()
