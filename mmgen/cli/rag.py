"""`mmgen rag`: the store of your documents and questions to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmgen.cli.adding import IN_PART, end, fetched, parted, progress_bar, tell, tell_skipped, values
from mmgen.cli.answer_output import also, one_line, print_answer
from mmgen.cli.from_signature import spread
from mmgen.cli.output import print_columns, print_json
from mmgen.cli.stores import feedback
from mmgen.cli.stores.naming import one_of
from mmgen.cli.training import rag_eval
from mmgen.errors import MmgenError, NotFound
from mmgen.rag_params import RagParams

if TYPE_CHECKING:
    from mmgen.pipelines.rag_text import RagText

app = typer.Typer(help="Ask your documents: add files, ask questions, see where answers stand.", no_args_is_help=True)

app.command("eval")(rag_eval.evaluate)
app.command()(feedback.feedback)
app.command()(feedback.learn)

Store = Annotated[
    str | None, typer.Option("--store", "-s", help="Name of the store, a path such as ./notes, or postgres://user@host/db.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[list[str] | None, typer.Option("--where", help="Metadata filter, such as lang=en or year>=2020.")]
Include = Annotated[list[str] | None, typer.Option(help="Glob of files to read from folders, such as '*.md' or '*.png'.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Glob of files in folders to leave out.")]
Meta = Annotated[list[str] | None, typer.Option(help="Metadata for filters, such as lang=en or album=summer.")]
Ray = Annotated[
    str | None, typer.Option(help="Read, split and embed on a Ray cluster: HOST:PORT, auto, or local, which starts one here.")
]
Reader = Annotated[str | None, typer.Option(help="Model that reads: embedded:NAME, a folder or a repo id.")]
Local = Annotated[bool, typer.Option("--local", help="Load the models here, even where `mmgen serve` of this home runs.")]
Model = Annotated[str | None, typer.Option(help="Language model that writes the answer: embedded:NAME, a folder or a repo id.")]


@contextmanager
def opened(
    store: str | None, reader: str | None = None, encoder: str | None = None, model: str | None = None
) -> Iterator[RagText]:
    """The pipeline over a store, for the length of a command."""
    from mmgen.pipelines.rag_text import RagText
    from mmgen.runtime import Runtime

    with Runtime() as rt, closing(RagText(rt, store=store, reader=reader, encoder=encoder, model=model)) as rag:
        yield rag


@app.command()
def add(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, with --fetch web addresses; - reads standard input.")],
    store: Store = None,
    include: Include = None,
    exclude: Exclude = None,
    sync: Annotated[bool, typer.Option("--sync", help="Also remove documents whose files vanished.")] = False,
    meta: Meta = None,
    images: Annotated[
        bool | None,
        typer.Option("--images/--no-images", help="Also images, and those in pdf and html; default: if it has any."),
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Read pages and documents at public web addresses.")] = False,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr", help="Also text in image files; default: pages of pdf that are pictures, if mmgen[ocr] is there."
        ),
    ] = None,
    comments: Annotated[
        bool, typer.Option("--comments", help="Also comments in office files that are new or changed.")
    ] = False,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Also ignored and generated files, and secrets.")] = False,
    index: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Vector index of this store from now on: auto, flat, hnsw, ivfpq, shards or shards:N."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What standard input is called; a suffix tells its format.")] = "stdin",
    language: Annotated[
        str | None, typer.Option(help="Language of these documents, such as de or pt-BR; default: found out for each.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Model of a new store: embedded:NAME, a folder or a repo id.")] = None,
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Read files into the store; only what changed is touched. Exit code 1: a file was skipped; 3: one was read in part."""
    from mmgen.ingest import loaders

    metadata = values(meta)
    files, addresses = parted(paths, fetch)
    piped = [sys.stdin.buffer.read(loaders.MAX_BYTES + 1)] if "-" in paths else []
    typed = [loaders.load_stdin(data, name, metadata) for data in piped]
    with opened(store, encoder=encoder) as rag, progress_bar(as_json, count=partial(held, rag)) as advance:
        found, failed = fetched(rag, addresses, metadata)
        if failed and not (files or typed or found):
            end(failed)
        report = rag.add(
            files,
            include=include or (),
            exclude=exclude or (),
            metadata=metadata,
            sync=sync,
            index=index,
            documents=[*typed, *found],
            images=images,
            ignored=no_ignore,
            ocr=ocr,
            comments=comments,
            language=language,
            ray=ray,
            progress=advance,
        )
    report.skipped += failed
    tell(report, as_json)
    end(report.skipped + (report.images.skipped if report.images else []))
    if report.partial:
        raise typer.Exit(IN_PART)


@app.command()
def watch(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    store: Store = None,
    include: Include = None,
    exclude: Exclude = None,
    meta: Meta = None,
    images: Annotated[bool | None, typer.Option("--images/--no-images", help="Also images; default: if it has any.")] = None,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Also ignored and generated files, and secrets.")] = False,
    encoder: Annotated[str | None, typer.Option(help="Model of a new store: embedded:NAME, a folder or a repo id.")] = None,
    as_json: Json = False,
) -> None:
    """Keep the store as the folders are until Ctrl-C: what changes is read, what vanishes removed, what moves renamed."""
    from mmgen.library import folder_watch

    metadata = values(meta)
    options = {"include": include or (), "exclude": exclude or (), "metadata": metadata, "images": images, "ignored": no_ignore}
    with opened(store, encoder=encoder) as rag:
        try:
            for report in folder_watch.watch(rag.library, paths, options):
                tell(report, as_json)
                tell_skipped(report.skipped + (report.images.skipped if report.images else []))
        except KeyboardInterrupt:
            typer.echo("stopped; what was read stays", err=True)


@app.command()
@spread(RagParams)
def ask(
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")],
    params: RagParams,
    store: Store = None,
    reader: Reader = None,
    model: Model = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Answer a question with exact quotes, or say that it is not in the documents."""
    from mmgen.pipelines.rag.answer import Answer
    from mmgen.serve import command_client

    if question == "-":
        question = sys.stdin.read()
    making = {key: value for key, value in (("store", store), ("reader", reader), ("model", model)) if value is not None}
    with ExitStack() as stack:

        def here() -> RagText:
            return stack.enter_context(opened(store, reader, model=model))

        rag = here() if local else command_client.at_server("rag-text", {"answer": Answer}, making, here)
        *_, last = rag.stream(question, **{name: value for name, value in vars(params).items() if value is not None})
    answer = last.value
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)


@app.command()
@spread(RagParams)
def chat(
    params: RagParams,
    store: Store = None,
    reader: Reader = None,
    model: Model = None,
    local: Local = False,
) -> None:
    """Ask one question after another, each with those before in mind; an empty line or Ctrl-D ends."""
    from mmgen.pipelines.rag import conversation
    from mmgen.pipelines.rag.answer import Answer
    from mmgen.serve import command_client

    history: list[dict[str, str]] = []
    making = {key: value for key, value in (("store", store), ("reader", reader), ("model", model)) if value is not None}
    given = {name: value for name, value in vars(params).items() if value is not None}
    with opened(store, reader, model=model) as rag:
        asked = rag if local else command_client.at_server("rag-text", {"answer": Answer}, making, lambda: rag)
        documents = len(rag.library.filled().uris())
        if sys.stdin.isatty():
            typer.echo(f"{documents} documents in {rag.library.name}. Ask; an empty line ends.")
        for question in questions():
            if not sys.stdin.isatty():  # whoever reads the answers did not see the questions
                typer.echo(f"\n> {question.strip()}")
            try:
                *_, last = asked.stream(question, history=history, **given)
                history += conversation.messages_of(last.value)
                print_answer(last.value)
            except MmgenError as error:
                typer.echo(f"error: {error}", err=True)


@app.command(name="list")
def list_(store: Store = None, as_json: Json = False) -> None:
    """The documents in the store."""
    with opened(store) as rag:
        documents = rag.library.readable().documents()
        name = rag.library.name
    if as_json:
        print_json(documents)
    elif not documents:
        typer.echo(f"store {name} is empty; add documents with: mmgen rag add PATH --store {name}")
    else:
        rows = [
            row
            for d in documents
            for row in (
                (d.kind, getattr(d, "language", ""), str(d.passages), str(d.characters), d.uri),
                *(("copy", "", "", "", name) for name in d.copies),
            )
        ]
        print_columns(("kind", "language", "passages", "characters", "document"), rows)


@app.command(name="show")
def show_(
    document: Annotated[str, typer.Argument(help="The document's path or its end.")],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """The text of a document as it was read; citations count its characters."""
    with opened(store) as rag:
        found = rag.library.readable().document(matching(rag, document))
    if as_json:
        print_json(found)
    else:
        typer.echo(found.text)


@app.command()
def remove(documents: Annotated[list[str], typer.Argument(help="Paths, or their ends.")], store: Store = None) -> None:
    """Take documents out of the store; the files stay."""
    with opened(store) as rag:
        writable = rag.library.writable(make=False)
        for uri in dict.fromkeys([matching(rag, document) for document in documents]):
            writable.remove(uri)
            typer.echo(f"removed {uri}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for; - reads it from standard input.")],
    store: Store = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many passages to show.")] = 5,
    method: Annotated[Literal["hybrid", "bm25", "dense"], typer.Option(help="How to look.")] = "hybrid",
    rerank: Annotated[str | None, typer.Option(help="mmr, or a cross-encoder: folder or repo id.")] = None,
    where: Where = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """The passages nearest to a query."""
    from mmgen.pipelines.rag_search import FoundPassages
    from mmgen.serve import command_client

    if query == "-":
        query = sys.stdin.read()
    given = {"k": k, "method": method, "rerank": rerank, "where": where}
    found = command_client.call("rag-search", FoundPassages, {"store": store}, query, given, local)
    hits = found.hits
    if found.note:
        typer.echo(found.note, err=True)
    if as_json:
        print_json(hits)
        return
    for number, hit in enumerate(hits, 1):
        page = f", page {hit.passage.page}" if hit.passage.page else ""
        sure = "" if hit.passage.recognized is None else f", recognised ({hit.passage.recognized:.0%} sure)"
        typer.secho(
            f"{number}. {hit.score:.3f}  {hit.uri}{page} [{hit.passage.start}:{hit.passage.end}]{sure}{also(hit.copies)}",
            bold=True,
        )
        typer.echo("   " + one_line(hit.passage.text)[:300])
    if not hits:
        typer.echo("nothing found", err=True)


def questions() -> Iterator[str]:
    """Lines of the terminal until an empty one, or all of a pipe."""
    terminal = sys.stdin.isatty()
    if terminal:
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  gives `input` editing and a history
    while True:
        try:
            line = input("> " if terminal else "")
        except EOFError:
            return
        if line.strip():
            yield line
        elif terminal:
            return


def held(rag: RagText) -> int:
    """Documents in the store; 0 where there is none yet."""
    try:
        return len(rag.library.readable().uris())
    except NotFound:
        return 0


def matching(rag: RagText, name: str) -> str:
    """The uri of the one document whose uri is `name` or ends with it."""
    return one_of(rag.library.readable().uris(), name, "document", rag.library.name, "rag")
