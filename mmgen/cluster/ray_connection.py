"""A connection to Ray, with its errors as ours. Ray is imported where it is asked for."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import Any

from mmgen.errors import BadRequest, Busy, Clash, NotFound

STORE_BYTES = 80 * 2**20
"""Ray's object store, where one is started here: what travels is small."""
PROBE_S = 5.0
NICENESS = "RAY_worker_niceness"
"""Ray's variable, in its own letters."""


def connect(address: str, cpus: float) -> None:
    """To the Ray at that address; "local" starts one, "auto" finds one on this machine. `ray.shutdown` ends it.

    Args:
        cpus: that a local Ray counts with at least.

    Raises:
        BadRequest: no address, or Ray is not installed.
        NotFound: there is none.
        Clash: it is of another version.
        Busy: it does not come up.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    full_priority()
    if address != "local":
        _probe(address)
    try:
        import ray
    except ImportError:
        raise BadRequest("Ray is not installed; pip install 'mmgen[ray]'") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": max(os.cpu_count() or 1, round(cpus + 0.5)), "object_store_memory": STORE_BYTES}
        options["include_dashboard"] = False
    ended = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except ConnectionError:
        raise NotFound(f"there is no Ray at {address}; start one with `ray start --head`, or use --ray local") from None
    except Exception as why:
        told = " ".join(str(why).split())
        if "ersion mismatch" in told:
            raise Clash(f"the Ray at {address} is of another version ({told[:300]}); install the same on all nodes") from None
        ray.shutdown()
        if "timed out during startup" in told:
            raise Busy("Ray did not start within its 30 s, as on a machine that is too busy; try again later") from None
        raise NotFound(f"the Ray at {address} cannot be used ({told[:300]}); see its log, or use --ray local") from None
    finally:
        if ended is not None:
            signal.signal(signal.SIGTERM, ended)  # Ray takes it for itself


def full_priority() -> None:
    """For what is started from here. Ray runs its workers at niceness 15, so that anything else on a machine displaces them: a
    server's replicas, and the stages of an `add`, are what the machine is for."""
    os.environ.setdefault(NICENESS, "0")


def _probe(address: str) -> None:
    """Ray itself takes a minute to find out. Raises NotFound."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise BadRequest(f"{address[:100]} is no address of a Ray; give HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()
    except (OSError, OverflowError) as why:
        reason = getattr(why, "strerror", None) or "no answer"
        raise NotFound(
            f"there is no Ray at {address} ({reason}); start one with `ray start --head --port {port}`, or use --ray local"
        ) from None
