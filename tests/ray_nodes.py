"""Ray for tests: its processes find this package, and a cluster of several nodes on one machine."""

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SMALL = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray's processes find this package, and do without what jsonschema imports for seconds in each of them."""
    stub = tmp_path_factory.mktemp("without")
    (stub / "rfc3987_syntax.py").write_text("raise ImportError")
    here = [str(stub), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    changed = {"PYTHONPATH": os.pathsep.join(here), "RAY_USAGE_STATS_ENABLED": "0"}
    saved = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    with patient():
        yield
    for name, value in saved.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def patient(seconds: float = 60.0) -> Iterator[None]:
    """Ray gives a node half a minute to register, and the helper of it a quarter; no option changes that. Asking waits longer
    here, and the helper does without the dashboard's parts, which take most of its time."""
    if importlib.util.find_spec("ray") is None:
        yield
        return
    from ray._private import services, utils

    ask = services.get_node

    def asked(*args: Any, **options: Any) -> Any:
        ends = time.monotonic() + seconds
        while True:
            try:
                return ask(*args, **options)
            except RuntimeError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.1)

    full, services.get_node = utils.get_dashboard_dependency_error, asked
    utils.get_dashboard_dependency_error = lambda: ImportError("left out")
    try:
        yield
    finally:
        services.get_node, utils.get_dashboard_dependency_error = ask, full


@contextmanager
def nodes(*cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` with so many cores on each node, the head first."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for number in cpus:
            joined(cluster, number)
        yield cluster
    finally:
        cluster.shutdown()


def joined(cluster: Any, cpus: int, tries: int = 5) -> Any:
    """A further node, as soon as one comes up."""
    while True:
        try:
            return cluster.add_node(num_cpus=cpus, include_dashboard=False, **SMALL)
        except Exception as why:
            tries -= 1
            if "timed out during startup" not in str(why) or not tries:
                raise
