"""`mmgen doctor` on a sound installation, and on every kind of unsound one."""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmgen import embedded, hub
from mmgen.cli import doctor as doctor_module
from mmgen.cli.doctor import Finding, examine
from mmgen.cli.main import main


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is out of reach, and only what a test breaks is broken."""
    monkeypatch.setattr(hub, "reachable", lambda timeout=2: False)
    monkeypatch.setattr(embedded, "verify", lambda reference: None)


def look(check: str) -> dict[str, Finding]:
    return {finding.about: finding for finding in getattr(doctor_module, check)()}


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])
    return int(ended.value.code or 0)


def test_a_sound_installation(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert out.rstrip().endswith("nothing is wrong") and str(home) in out and "torch 2." in out
    assert not home.exists(), "it changes nothing"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"mmgen", "python", "packages", "device", "threads", "memory", "home", "disk", "sqlite", "hub"} <= set(found)
    assert found["hub"]["status"] == "note" and found["embedded:minilm"]["found"] == "checksum verified"


def test_a_damaged_model_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(embedded, "verify", lambda reference: f"{reference} is damaged; reinstall mmgen")
    assert run() == 1
    out = capsys.readouterr().out
    shipped = sum(not model.pulled for model in embedded.EMBEDDED.values())
    assert "wrong" in out and "is damaged; reinstall mmgen" in out and f"{shipped} wrong: " in out
    assert "embedded:smollm2" in out and "`mmgen pull embedded:smollm2` gets it" in out


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(finding.status == "ok" for finding in look("packages").values())
    wanted = ["torch>=99", "no-such-package>=1", "also-absent; extra == 'train'", "rich"]
    monkeypatch.setattr(doctor_module, "requires", lambda name: wanted)
    found = look("packages")
    assert found["torch"].status == "wrong" and found["torch"].remedy == 'python -m pip install "torch>=99"'
    assert found["no-such-package"].found == "not installed" and "also-absent" not in found and "rich" not in found


def test_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from mmgen.models.cpu import build

    monkeypatch.setattr(build, "reason", lambda: "")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    assert look("device")["kernels"] == Finding("kernels", "ok", "compiled for this processor")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert "no AVX-512 VNNI" in look("device")["kernels"].found
    monkeypatch.setattr(build, "reason", lambda: "there is no C compiler")
    monkeypatch.setattr(build, "compiler", lambda: None)
    found = look("device")["kernels"]
    assert (
        found.status == "note"
        and found.found.startswith("torch's alone (there is no C compiler); GGUF's blocks")
        and "install gcc" in found.remedy
    )


def test_a_torch_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = look("device")["device"]
    assert found.status == "wrong" and "torch cannot be imported" in found.found


def test_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5e8, total=4e9))
    monkeypatch.setattr(doctor_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=2e8))
    assert look("memory")["memory"].status == "note"
    disk = look("places")["disk"]
    assert disk.status == "wrong" and disk.found == "0.2 GB free" and "MMGEN_HOME" in disk.remedy


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMGEN_HOME", str(tmp_path / "file" / "below"))
    home = look("places")["home"]
    assert home.status == "wrong" and "cannot be written" in home.found and "MMGEN_HOME" in home.remedy


def test_a_bad_configuration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("devise: cpu")
    found = look("places")["configuration"]
    assert found.status == "wrong" and 'did you mean "device"' in found.found
    assert run() == 1 and "Traceback" not in capsys.readouterr().out


def test_a_failed_plugin(plug: Callable[..., None]) -> None:
    plug(pixel="no function")
    found = look("plugins")["plugin pixel"]
    assert found.status == "wrong" and "MMGEN_PLUGINS" in found.remedy


def test_sqlite_without_full_text_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(path: str) -> Any:
        raise sqlite3.OperationalError("no such module: fts5")

    monkeypatch.setattr(doctor_module.sqlite3, "connect", connect)
    assert look("database")["sqlite"].status == "wrong"


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(doctor_module, "CHECKS", (broken, doctor_module.database))
    first, second = examine()
    assert first == Finding("broken", "wrong", "RuntimeError: out of luck", "please report this") and second.status == "ok"
