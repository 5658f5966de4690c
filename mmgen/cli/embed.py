"""`mmgen embed`: word vectors, their nearest neighbours and analogies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.cli.rag import Local

app = typer.Typer(help="Word vectors: analogies and nearest neighbours.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `analogy` a subcommand while it is the only one."""


@app.command()
def analogy(
    words: Annotated[list[str], typer.Argument(help="An expression such as WORD - WORD + WORD.")],
    encoder: Annotated[str | None, typer.Option(help="Encoder reference; default: the configured one.")] = None,
    among: Annotated[
        Path | None, typer.Option(help="Vocabulary file, one word per line; default: the built-in 10,000 words.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Words shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    local: Local = False,
) -> None:
    """The words nearest to a sum: `mmgen embed analogy king - man + woman`."""
    from mmgen.config import home, load_runtime
    from mmgen.models.encoders.word_vectors import WordSum
    from mmgen.pipelines.analogy import Analogy, vocabulary
    from mmgen.pipelines.image import word_list
    from mmgen.serve import command_client

    WordSum.read(words)  # fails before a model is loaded
    known = vocabulary(among)
    if not word_list.kept(home(), encoder or load_runtime().encoder, known).is_file():
        typer.echo(f"encoding {len(known):,} words once ...", err=True)
    given = {"encoder": encoder, "among": None if among is None else str(among), "k": k}
    found = command_client.call("analogy", Analogy, {}, " ".join(words), given, local).words
    if as_json:
        print_json(found)
    else:
        print_columns(("cosine", "word"), [(f"{near.similarity:.3f}", near.word) for near in found])
