"""`mmgen rag feedback` and `mmgen rag learn`: what people say of a store's answers, and what its models learn from that."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Literal

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.cli.stores.naming import one_of
from mmgen.errors import BadRequest, NotFound

Store = Annotated[
    str | None, typer.Option("--store", "-s", help="Name of the store, a path such as ./notes, or postgres://user@host/db.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def feedback(
    question: Annotated[str | None, typer.Argument(help="What was asked; without it: all feedback of the store.")] = None,
    answer: Annotated[str, typer.Option(help='What was answered; without it: "Not in the documents."')] = "",
    right: Annotated[bool | None, typer.Option("--right/--wrong", help="Whether it is right.")] = None,
    span: Annotated[str | None, typer.Option(help="The right words, as a document has them.")] = None,
    unanswerable: Annotated[bool, typer.Option("--unanswerable", help="The documents do not answer the question.")] = False,
    document: Annotated[str | None, typer.Option(help="The document with the right words: its path or its end.")] = None,
    remove: Annotated[list[int] | None, typer.Option(help="Take feedback back, by its number in the list.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say that an answer was right or wrong, and which words are right; `mmgen rag learn` learns from it."""
    from mmgen.library.document_library import DocumentLibrary
    from mmgen.pipelines.rag import feedback as given
    from mmgen.runtime import Runtime

    with Runtime() as rt, closing(DocumentLibrary.open(rt, store)) as library:
        if remove:
            count = given.kept_in(library, library.writable(make=False)).feedback.remove(remove)
            typer.echo(f"removed {count} of feedback")
            return
        if question is None:
            rows = given.kept_in(library, library.readable()).feedback.all()
            if as_json:
                print_json(rows)
            elif not rows:
                remedy = "mmgen rag feedback QUESTION --answer ANSWER --right"
                typer.echo(f"store {library.name} has no feedback; give some: {remedy}")
            else:
                print_columns(
                    ("", "verdict", "question", "answer", "right words", "document"),
                    [
                        (str(one.id), one.verdict, one.question, one.answer or "-", _words(one.span), one.document)
                        for one in rows
                    ],
                )
            return
        if right is None:
            raise BadRequest("is the answer right or wrong? say --right or --wrong")
        if unanswerable and span is not None:
            raise BadRequest("--unanswerable and --span exclude each other; the span is the answer")
        uri = None
        if document is not None:
            uri = one_of(library.readable().uris(), document, "document", library.name, "rag")
        verdict: Literal["right", "wrong"] = "right" if right else "wrong"
        words = "" if unanswerable and verdict == "wrong" else span
        one = given.give(library, question, answer=answer, verdict=verdict, span=words, document=uri)
        if as_json:
            print_json(one)
            return
        at = f", at {one.document} [{one.start}:{one.end}]" if one.end > one.start else ""
        typer.echo(f"kept as number {one.id}{at}")


def learn(
    reader: Annotated[str | None, typer.Option(help="Model that reads: embedded:NAME, a folder or a repo id.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Take away what the store has learned; feedback stays.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Train the store's adapter of the reader on its feedback; kept if questions it has not seen are answered better.

    Exit code 1: it was not, and the store answers as before.
    """
    from mmgen.library.document_library import DocumentLibrary
    from mmgen.pipelines.rag.feedback import kept_in
    from mmgen.runtime import Runtime
    from mmgen.training.recipes import reader_adapter

    with Runtime() as rt, closing(DocumentLibrary.open(rt, store)) as library:
        kept = kept_in(library, library.writable(make=False))
        if forget:
            if not kept.adapters.remove("reader"):
                raise NotFound(f"store {library.name} has learned nothing; train an adapter with: mmgen rag learn")
            typer.echo("forgotten; the reader answers as it came")
            return
        result = reader_adapter.learn(rt, library, kept, reader)
    if as_json:
        print_json(result)
    else:
        typer.echo(str(result))
    if not result.taken:
        raise typer.Exit(1)


def _words(span: str | None) -> str:
    return "not told" if span is None else span or "none"
