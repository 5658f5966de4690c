"""The file by which commands find the server of their home: who can read it, when it stands, and when nobody vouches for it."""

import json
import os
import stat
from pathlib import Path

import pytest

from mmgen.serve import port_file
from mmgen.serve.port_file import advertised, conditions, path, running


def test_it_stands_while_the_server_runs() -> None:
    assert running() is None
    with advertised("127.0.0.1", 8001, "secret") as stands:
        found = running()
        assert stands and stat.S_IMODE(path().stat().st_mode) == 0o600
        assert found is not None and (found.pid, found.host, found.port, found.token) == (
            os.getpid(),
            "127.0.0.1",
            8001,
            "secret",
        )
        assert "secret" not in repr(found)
    assert not path().exists() and running() is None


def test_what_a_crash_left_behind_is_no_server() -> None:
    with advertised("127.0.0.1", 8001, "secret"):
        left = path().read_text()
    path().write_text(left)
    path().chmod(0o600)
    assert running() is None
    with advertised("127.0.0.1", 8002, "other"):
        assert (found := running()) and found.port == 8002


def test_what_others_could_read_is_not_trusted() -> None:
    with advertised("127.0.0.1", 8001, "secret"):
        path().chmod(0o640)
        assert running() is None


@pytest.mark.parametrize("changed", [{"machine": "elsewhere"}, {"unknown": 1}])
def test_a_file_of_another_machine_or_version(changed: dict[str, object]) -> None:
    with advertised("127.0.0.1", 8001, "secret"):
        path().write_text(json.dumps(json.loads(path().read_text()) | changed))
        assert running() is None


def test_the_first_server_of_a_home_keeps_it() -> None:
    with advertised("127.0.0.1", 8001, "first"):
        with advertised("127.0.0.1", 8002, "second") as stands:
            assert not stands and (found := running()) and found.port == 8001
        assert running() is not None


@pytest.mark.parametrize(
    ("host", "reached"), [("localhost", "localhost"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::1", "::1")]
)
def test_the_loopback_interface(host: str, reached: str) -> None:
    with advertised(host, 8001, "secret"):
        assert (found := running()) and found.host == reached


@pytest.mark.parametrize("host", ["192.0.2.7", "example.org"])
def test_no_token_goes_over_a_network(host: str) -> None:
    with advertised(host, 8001, "secret") as stands:
        assert not stands and running() is None


def test_conditions(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other models, settings or plugins are another condition; another folder is one where the configuration means it."""
    home.mkdir()
    seen = [conditions()]
    (home / "config.yaml").write_text("text: tiny\n")
    seen.append(conditions())
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    seen.append(conditions())
    monkeypatch.setenv("MMGEN_PLUGINS", "")
    seen.append(conditions())
    monkeypatch.setattr(port_file, "__version__", "0")
    seen.append(conditions())
    assert len(set(seen)) == len(seen) and conditions() == seen[-1]
