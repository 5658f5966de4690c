"""The port file of a home: where `mmgen serve` of this user listens, for its commands (command_client.py).

The server holds a lock on the file as long as it lives, so that one that a crash left behind is known for what it is.
Imports neither torch nor FastAPI.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from mmgen import __version__
from mmgen.config import home, parse_yaml

NAME = "serve.json"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean every interface -> the loopback one among them."""
ENVIRONMENT = ("MMGEN_", "HF_", "CUDA_", "ATEN_", "ONEDNN_")
"""Prefixes of environment variables that decide what is loaded and how it is computed."""


@dataclass(frozen=True)
class PortFile:
    """A running server of this home."""

    pid: int
    machine: str  # a home can be shared by several
    host: str  # of the loopback interface
    port: int
    version: str
    conditions: str  # see `conditions`
    folder: str  # the server's current one
    certificate: str  # the digest of what it shows, see wire/tls.py; empty: no TLS
    token: str = field(repr=False)  # proves to the server that the caller can read the owner's files


def path() -> Path:
    return home() / NAME


@contextmanager
def advertised(host: str, port: int, token: str, certificate: str = "") -> Iterator[bool]:
    """Writes the file, readable by its owner alone, and removes it at the end. Yields whether it stands.

    It does not where another server of this home has its own, or where `host` is not reached by the loopback interface.
    """
    address = _loopback(host)
    if sys.platform == "win32" or address is None or running() is not None:  # no flock
        yield False
        return
    import fcntl

    entry = PortFile(
        os.getpid(), socket.gethostname(), address, port, __version__, conditions(), str(Path.cwd()), certificate, token
    )
    file, temporary = path(), path().with_name(f"{NAME}.{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(asdict(entry)).encode())
        temporary.replace(file)  # whole or not at all; the lock goes with it
        yield True
    finally:
        with suppress(OSError):  # another server's by now, or gone with its home
            if file.stat().st_ino == os.fstat(descriptor).st_ino:
                file.unlink()
        os.close(descriptor)


def running() -> PortFile | None:
    """The server of this home that runs on this machine; None for none, and for a file that nobody vouches for."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path(), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # its server holds it
            return _read(file.read())
        return None


def _read(text: bytes) -> PortFile | None:
    try:
        found = PortFile(**json.loads(text))
    except (ValueError, TypeError):  # of another version
        return None
    return found if found.machine == socket.gethostname() else None


def _loopback(host: str) -> str | None:
    """The address by which a command of this machine reaches a server that listens on `host`; None: by none."""
    if host == "localhost":
        return host
    address = EVERYWHERE.get(host, host)
    try:
        return address if ipaddress.ip_address(address).is_loopback else None
    except ValueError:
        return None


def conditions() -> str:
    """A digest of what an answer depends on beside a command's options.

    This installation, the configuration of the home (and what relative paths in it mean here), and the environment.
    """
    config = home() / "config.yaml"
    text = config.read_bytes() if config.is_file() else b""
    relative = list[str]()
    with suppress(yaml.YAMLError, OSError, UnicodeDecodeError):  # whoever loads it tells
        values = parse_yaml(text.decode())
        given = values.values() if isinstance(values, Mapping) else ()
        relative = [str(Path(one).absolute()) for one in given if isinstance(one, str) and Path(one).exists()]
    settings = sorted(
        f"{key}={value}" for key, value in os.environ.items() if key.startswith(ENVIRONMENT) and key != "MMGEN_HOME"
    )
    parts = [__version__, str(Path(__file__).parent), sys.prefix, text.hex(), relative, settings]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
