"""`mmgen doctor`: checks the installation and names a remedy for each problem. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import MmgenError
from mmgen.registry import one_line

SHOWN = ("torch", "transformers", "sentence-transformers", "faiss-cpu", "numpy", "safetensors", "huggingface_hub")
ROOM = 1_000_000_000  # bytes of free memory or disk below which it warns


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    about: str
    status: Literal["ok", "note", "wrong"]  # note: works, with limits
    found: str
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check versions, device, memory, disk, embedded models, plugins and the hub. Exit code 1 if something is wrong."""
    findings = list(examine())
    wrong = sum(finding.status == "wrong" for finding in findings)
    if as_json:
        print_json(findings)
    else:
        rows = [(f.status, f.about, f.found + (f"; {f.remedy}" if f.remedy else "")) for f in findings]
        print_columns(("", "what", "found"), rows)
        typer.echo(f"\n{wrong} wrong: see the remedies above" if wrong else "\nnothing is wrong")
    if wrong:
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Runs every check in order; a check that raises is itself a finding."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as why:  # a failing check must not stop the others
            yield Finding(check.__name__, "wrong", one_line(why), "please report this")


def packages() -> Iterator[Finding]:
    """mmgen and its requirements, each against its version range."""
    yield Finding("mmgen", "ok", f"{version('mmgen')} in {Path(__file__).parents[1]}")
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Finding("packages", "ok", ", ".join(f"{name} {_installed(name) or 'missing'}" for name in SHOWN))
    from packaging.requirements import Requirement

    for requirement in map(Requirement, requires("mmgen") or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _installed(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            state = f"{found}, not {requirement.specifier}" if found else "not installed"
            yield Finding(requirement.name, "wrong", state, f'python -m pip install "{wanted}"')


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def device() -> Iterator[Finding]:
    """The device that models run on."""
    from mmgen.runtime import Runtime

    try:
        import torch
    except Exception as why:  # a broken installation can raise anything
        yield Finding("device", "wrong", f"torch cannot be imported ({one_line(why)})", "reinstall torch")
        return
    with Runtime() as rt:
        name = rt.device
    if name.startswith("cuda"):
        properties = torch.cuda.get_device_properties(torch.device(name))
        name += f", {properties.name}, {properties.total_memory / 1e9:.0f} GB"
    yield Finding("device", "ok", name)
    if name.startswith("cuda"):
        yield Finding("decoding", "ok", "by CUDA graphs; the log says which model runs without them, and why")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("threads", "ok", f"{torch.get_num_threads()} for {cores} cores")
    if name == "cpu":
        yield _kernels()


def _kernels() -> Finding:
    import torch

    from mmgen.models.cpu import build

    if not (why := build.reason()):
        slower = (
            "" if torch.cpu._is_vnni_supported() else ", which has no AVX-512 VNNI: int8, int4 and GGUF's blocks are slower"
        )
        return Finding("kernels", "ok", f"compiled for this processor{slower}")
    remedy = "install gcc: language models generate up to five times faster" if build.compiler() is None else ""
    return Finding("kernels", "note", f"torch's alone ({why}); GGUF's blocks are dequantized for every product", remedy)


def precision() -> Iterator[Finding]:
    """What was measured on this machine, and what its processor lacks. Models say so when they are first loaded."""
    from mmgen.config import home, load_runtime, precision_policy
    from mmgen.models.tuning import machine
    from mmgen.models.tuning.choices import Choices

    config = load_runtime()
    if precision_policy(config.precision) == "safe":
        yield Finding("precision", "note", "not measured (safe): each model runs in its default, unless a # says otherwise")
    if config.device in ("auto", "cpu"):
        yield from (Finding("processor", "note", lacking) for lacking in machine.fallbacks())
    here = machine.described("cpu")
    for choice in Choices((config.home or home()) / "precision").all():
        stale = sorted(name for name, value in here.items() if name != "device" and choice.key.get(name, value) != value)
        again = f"measured under another {', '.join(stale)}: again at its next load" if stale else ""
        undecided = "" if choice.settled else f"`mmgen tune {choice.model}` when the machine is quiet"
        status: Literal["ok", "note"] = "ok" if choice.settled and not stale else "note"
        yield Finding(choice.model, status, f"{choice.precision}: {choice.why}", again or undecided)


def memory() -> Iterator[Finding]:
    import psutil

    state = psutil.virtual_memory()
    low = state.available < ROOM
    remedy = "large models will be refused; close other programs" if low else ""
    yield Finding("memory", "note" if low else "ok", f"{_gb(state.available)} free of {_gb(state.total)}", remedy)


def places() -> Iterator[Finding]:
    """The home directory, its free space and the configuration file."""
    from mmgen.config import home, load_runtime

    folder = home()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        yield Finding("home", "ok", str(folder))
    else:
        yield Finding("home", "wrong", f"{folder} cannot be written", "change its rights, or set MMGEN_HOME to another folder")
    free = shutil.disk_usage(existing).free
    low = free < ROOM
    yield Finding("disk", "wrong" if low else "ok", f"{_gb(free)} free", "make room, or set MMGEN_HOME" if low else "")
    try:
        load_runtime()
    except MmgenError as why:
        yield Finding("configuration", "wrong", str(why), "correct or remove that file")


def database() -> Iterator[Finding]:
    try:
        with sqlite3.connect(":memory:") as connection:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
        yield Finding("sqlite", "ok", f"{sqlite3.sqlite_version} with full-text search")
    except sqlite3.OperationalError:
        yield Finding("sqlite", "wrong", f"{sqlite3.sqlite_version} without FTS5", "use a Python whose sqlite3 has FTS5")


def models() -> Iterator[Finding]:
    """Verifies the checksums of the embedded models."""
    from mmgen import embedded

    for reference in embedded.EMBEDDED:
        if not embedded.present(reference):
            yield Finding(reference, "note", "not on this machine", f"`mmgen pull {reference}` gets it")
        elif problem := embedded.verify(reference):
            yield Finding(reference, "wrong", problem.removeprefix(f"{reference} "))
        else:
            yield Finding(reference, "ok", "checksum verified")


def the_hub() -> Iterator[Finding]:
    from mmgen import hub

    if hub.reachable():
        yield Finding("hub", "ok", "reachable")
    else:
        yield Finding("hub", "note", "not reachable; embedded models, local folders and what was downloaded work without it")


def plugins() -> Iterator[Finding]:
    from mmgen.plugins import registry

    good = [plugin.name for plugin in registry().plugins if plugin.status == "ok"]
    yield Finding("plugins", "ok", ", ".join(good))
    for plugin in registry().plugins:
        if plugin.status == "failed":
            remedy = "repair or uninstall it, or set MMGEN_PLUGINS to the names of those to load"
            yield Finding(f"plugin {plugin.name}", "wrong", plugin.error, remedy)


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    packages,
    device,
    precision,
    memory,
    places,
    database,
    models,
    plugins,
    the_hub,
)
