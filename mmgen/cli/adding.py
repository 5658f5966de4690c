"""What the commands share that add to a store: metadata, web addresses, progress, and the report at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmgen.cli.output import print_json
from mmgen.errors import BadRequest, MmgenError

if TYPE_CHECKING:
    from mmgen.interfaces import Document, Scalar
    from mmgen.library.document_indexing import Added, IndexProgress, StageRate
    from mmgen.pipelines.rag_text import RagText

IN_PART = 3
"""Exit code where every file was read, but one not wholly."""
ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def parted(paths: Sequence[str], fetch: bool) -> tuple[list[Path], list[str]]:
    """Files and folders, and web addresses. BadRequest for an address where none may be fetched."""
    addresses = [path for path in paths if ADDRESS.match(path)]
    if addresses and not fetch:
        raise BadRequest(f"{addresses[0]} is a web address; --fetch reads what stands there")
    return [Path(path) for path in paths if path != "-" and path not in addresses], addresses


def fetched(
    rag: RagText, addresses: Sequence[str], metadata: Mapping[str, Scalar]
) -> tuple[list[Document], list[tuple[str, str]]]:
    """The documents at these addresses, and (address, reason) of those that give none."""
    from mmgen.engine.job import Request
    from mmgen.library import web_documents

    documents, failed = [], []
    for address in addresses:
        try:
            documents.append(web_documents.document_at(address, rag.library, metadata, Request.new(priority="batch")))
        except MmgenError as why:
            failed.append((address, str(why)))
    return documents, failed


def tell(report: Added, as_json: bool) -> None:
    """What became of the files: the summary on standard output, a line for each that was left out or read in part beside."""
    if as_json:
        print_json(report)
    else:
        typer.echo(str(report))
    tell_stages(report.stages)
    tell_left_out(report.ignored, report.unread)
    for uri, missing in report.partial:
        typer.echo(f"read in part {uri}: {missing}", err=True)
    for uri, missing in report.unread_parts:
        typer.echo(f"left out of {uri}: {missing}", err=True)


def tell_stages(stages: Mapping[str, StageRate]) -> None:
    """What each stage did, where the nodes of a cluster did it."""
    for stage, rate in stages.items():
        typer.echo(f"{stage}: {rate.items:,}, {rate.per_s:.3g} a second, {rate.busy_s:.1f} s of all its processes", err=True)


def tell_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Which files could not be read, and why."""
    for path, reason in skipped:
        typer.echo(f"skipped {path}: {reason}" if path not in reason else f"skipped {reason}", err=True)


def tell_left_out(ignored: Sequence[tuple[str, str]], unread: Mapping[str, int] = {}) -> None:
    """What of the folders was not read: a line each where a rule says so, one line for hidden and binary files."""
    for path, reason in ignored:
        typer.echo(f"left out {path}: {reason}", err=True)
    if unread:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(unread.items(), key=lambda item: (-item[1], item[0])))
        typer.echo(f"left out as hidden or without text: {counts}; give such a file itself to read it", err=True)


def end(skipped: Sequence[tuple[str, str]]) -> None:
    """Tells which files could not be read, and why: exit code 1 if there are any."""
    tell_skipped(skipped)
    if skipped:
        raise typer.Exit(1)


def values(pairs: Sequence[str] | None) -> dict[str, Scalar]:
    """Metadata of several `--meta NAME=VALUE`."""
    return dict(one_value(pair) for pair in pairs or ())


def one_value(pair: str) -> tuple[str, Scalar]:
    """`year=2020` -> ("year", 2020); values are read as filters read them."""
    from mmgen.stores.metadata_filter import value

    name, separator, text = pair.partition("=")
    if not separator or not name.strip():
        raise BadRequest(f"--meta {pair!r} is no pair; write name=value")
    return name.strip(), value(text.strip())


@contextmanager
def progress_bar(
    quiet: bool, what: str = "documents", unit: str = "passages", count: Callable[[], int] = lambda: 0
) -> Iterator[Callable[[IndexProgress], None]]:
    """A bar with files and units a second, on a terminal; nothing elsewhere. At Ctrl-C it says how much is stored.

    count: how much the store holds: what was stored just before Ctrl-C was told to nobody yet.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
    )
    stored, before = 0, count()
    try:
        with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
            task = progress.add_task("reading", total=None, speed="")

            def advance(step: IndexProgress) -> None:
                nonlocal stored
                stored = step.added
                speed = f"{step.passages / max(0.1, progress.tasks[0].elapsed or 0.1):.0f} {unit}/s"
                speed = step.stages or speed
                speed = f"page {step.page + 1} of {step.pages}" if step.pages > 1 and step.page < step.pages else speed
                progress.update(task, total=step.of, completed=step.files, speed=speed)

            yield advance
    except KeyboardInterrupt:
        stored = max(stored, count() - before)
        typer.echo(f"{stored} {what} were stored and stay; the same command goes on from there", err=True)
        raise
