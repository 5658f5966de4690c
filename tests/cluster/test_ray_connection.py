import os
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mmgen.cluster import ray_connection
from mmgen.errors import BadRequest, Busy, Clash, MmgenError, NotFound


def test_no_ray_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        told = rf"there is no Ray at 127\.0\.0\.1:{port} \(.*\); start one with `ray start --head --port {port}`"
        with pytest.raises(NotFound, match=told):
            ray_connection.connect(f"127.0.0.1:{port}", 1)
    with pytest.raises(BadRequest, match="somewhere is no address of a Ray; give HOST:PORT, auto or local"):
        ray_connection.connect("somewhere", 1)


def test_no_ray_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadRequest, match=r"Ray is not installed; pip install 'mmgen\[ray\]'"):
        ray_connection.connect("local", 1)


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (ConnectionError("no"), NotFound, "there is no Ray at auto; start one with `ray start --head`, or use --ray local"),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.1\n    Python: 3.10"),
            Clash,
            r"the Ray at auto is of another version \(.*Ray: 2.1 Python: 3.10\); install the same on all nodes",
        ),
        (Exception("The current node timed out during startup. This"), Busy, "Ray did not start within its 30 s"),
        (ValueError("what else"), NotFound, r"the Ray at auto cannot be used \(what else\)"),
    ],
)
def test_what_ray_has_against_it_is_a_line(
    raised: Exception, kind: type[MmgenError], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise raised

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    with pytest.raises(kind, match=told) as caught:
        ray_connection.connect("auto", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("said", "found"), [(None, "0"), ("5", "5")])
def test_workers_are_not_displaced_by_whatever_else_runs(said: str | None, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody asks for it: Ray's own default is niceness 15."""
    seen = list[str | None]()
    monkeypatch.setenv(ray_connection.NICENESS, said or "")
    if said is None:
        monkeypatch.delenv(ray_connection.NICENESS)
    fake = SimpleNamespace(init=lambda **_: seen.append(os.environ.get(ray_connection.NICENESS)))
    monkeypatch.setitem(sys.modules, "ray", fake)
    ray_connection.connect("local", 1)
    assert seen == [found]
