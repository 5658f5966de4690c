"""`mmgen rag`: the store of your documents and questions to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.errors import BadRequest, MmgenError, NotFound

if TYPE_CHECKING:
    from mmgen.library import Step
    from mmgen.pipelines.rag_text import Answer, RagText

app = typer.Typer(help="Ask your documents: add files, ask questions, see where answers stand.", no_args_is_help=True)

Store = Annotated[str, typer.Option("--store", "-s", help="Name of the store, or a path such as ./notes.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[list[str] | None, typer.Option("--where", help="Metadata filter, such as lang=en or year>=2020.")]


@contextmanager
def opened(store: str) -> Iterator[RagText]:
    """The pipeline over a store, for the length of a command."""
    from mmgen.pipelines.rag_text import RagText
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        rag = RagText(rt, store=store)
        try:
            yield rag
        finally:
            rag.close()


def show(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; - reads from standard input.")],
    store: Store = "default",
    include: Annotated[list[str] | None, typer.Option(help="Only files like this, e.g. '*.md'.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files like this.")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Also remove documents whose files vanished.")] = False,
    meta: Annotated[list[str] | None, typer.Option(help="Metadata for filters, such as lang=en.")] = None,
    as_json: Json = False,
) -> None:
    """Read files into the store; only what changed is touched. Exit code 1 if a file had to be skipped."""
    from mmgen.ingest import loaders

    metadata = dict(one_value(pair) for pair in meta or [])
    files = [path for path in paths if str(path) != "-"]
    typed = [loaders.load_stdin(sys.stdin.buffer.read(), metadata=metadata)] if len(files) < len(paths) else []
    with opened(store) as rag, progress_bar(quiet=as_json) as advance:
        report = rag.add(
            files, include=include or (), exclude=exclude or (), metadata=metadata, sync=sync, documents=typed, progress=advance
        )
    if as_json:
        show(vars(report))
    else:
        typer.echo(str(report))
    for path, reason in report.skipped:
        typer.echo(f"skipped {path}: {reason}" if path not in reason else f"skipped {reason}", err=True)
    if report.skipped:
        raise typer.Exit(1)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    store: Store = "default",
    k: Annotated[int, typer.Option("-k", help="Passages to read.")] = 5,
    grounding: Annotated[str, typer.Option(help="strict, cite or off.")] = "strict",
    threshold: Annotated[float | None, typer.Option(help="Confidence below which it abstains, 0 to 1.")] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Answer a question with exact quotes, or say that the documents do not."""
    with opened(store) as rag:
        answer = rag(question, k=k, grounding=grounding, threshold=threshold, where=where or ())  # type: ignore[arg-type]
    if as_json:
        show(answer.to_dict())
    else:
        print_answer(answer)


@app.command()
def chat(store: Store = "default", k: Annotated[int, typer.Option("-k", help="Passages to read.")] = 5) -> None:
    """Ask one question after another; an empty line or Ctrl-D ends."""
    with opened(store) as rag:
        count = rag.library.readable().count()
        if sys.stdin.isatty():
            typer.echo(f"{count} passages. Ask; an empty line ends.")
        for question in questions():
            try:
                print_answer(rag(question, k=k))
            except MmgenError as error:
                typer.echo(f"error: {error}", err=True)


@app.command(name="list")
def list_(store: Store = "default", as_json: Json = False) -> None:
    """The documents in the store."""
    from rich.console import Console
    from rich.table import Table

    with opened(store) as rag:
        documents = rag.library.readable().documents()
    if as_json:
        show([vars(document) if hasattr(document, "__dict__") else document for document in documents])
        return
    table = Table("document", "kind", "passages", "characters", box=None)
    for document in documents:
        table.add_row(document.uri, document.kind, str(document.passages), str(document.characters))
    Console(soft_wrap=True).print(table)


@app.command(name="show")
def show_(document: Annotated[str, typer.Argument(help="The document's path or its end.")], store: Store = "default") -> None:
    """The text of a document as it was read."""
    with opened(store) as rag:
        typer.echo(rag.library.readable().document(matching(rag, document)).text)


@app.command()
def remove(documents: Annotated[list[str], typer.Argument(help="Paths, or their ends.")], store: Store = "default") -> None:
    """Take documents out of the store; the files stay."""
    with opened(store) as rag:
        rag.library.readable()  # an absent store is not made
        for uri in [matching(rag, document) for document in documents]:
            rag.library.writable().remove(uri)
            typer.echo(f"removed {uri}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    store: Store = "default",
    k: Annotated[int, typer.Option("-k", help="Passages to show.")] = 5,
    method: Annotated[str, typer.Option(help="hybrid, bm25 or dense.")] = "hybrid",
    rerank: Annotated[str | None, typer.Option(help="A reranker, such as mmr.")] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """The passages nearest to a query."""
    from dataclasses import asdict

    with opened(store) as rag:
        hits = rag.library.search(query, k=k, method=method, rerank=rerank, where=where or ())
    if as_json:
        show([asdict(hit) for hit in hits])
        return
    for number, hit in enumerate(hits, 1):
        page = f", page {hit.passage.page}" if hit.passage.page else ""
        typer.secho(f"{number}. {hit.score:.3f}  {hit.uri}{page} [{hit.passage.start}:{hit.passage.end}]", bold=True)
        typer.echo("   " + " ".join(hit.passage.text.split())[:300])


def print_answer(answer: Answer) -> None:
    """The answer first, then each quote with its place."""
    typer.secho(answer.text, bold=not answer.abstained, fg=None if not answer.abstained else typer.colors.YELLOW)
    for number, citation in enumerate(answer.citations, 1):
        typer.echo(f'  [{number}] "{citation.quote}"')
        typer.secho(f"      {citation}", dim=True)
    typer.secho(f"  confidence {answer.confidence:.0%}, {answer.timings['total']:.0f} ms", dim=True)


def questions() -> Iterator[str]:
    """Lines of the terminal or of a pipe, until an empty one or the end."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not line.strip():
            return
        yield line


def matching(rag: RagText, name: str) -> str:
    """The uri of the one document whose uri is `name` or ends with it."""
    uris = rag.library.readable().uris()
    found = [uri for uri in uris if uri == name] or [uri for uri in uris if uri.endswith("/" + name.lstrip("/"))]
    if not found:
        raise NotFound(f"no document {name!r} in this store; `mmgen rag list` names all {len(uris)}")
    if len(found) > 1:
        raise BadRequest(f"{name!r} fits {len(found)} documents, {found[0]} and {found[1]} among them; write more of the path")
    return found[0]


def one_value(pair: str) -> tuple[str, str | int | float | bool]:
    """`year=2020` -> ("year", 2020)"""
    name, separator, value = pair.partition("=")
    if not separator or not name.strip():
        raise BadRequest(f"--meta {pair!r} is no pair; write name=value")
    for kind in (int, float):
        try:
            return name.strip(), kind(value)
        except ValueError:
            continue
    return name.strip(), {"true": True, "false": False}.get(value.lower(), value)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Any]:
    """A bar with files and passages a second on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None, speed="")

        def advance(step: Step) -> None:
            speed = f"{step.passages / max(0.1, progress.tasks[0].elapsed or 0.1):.0f} passages/s"
            progress.update(task, total=step.of, completed=step.files, speed=speed)

        yield advance
