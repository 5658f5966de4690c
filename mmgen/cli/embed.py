"""`mmgen embed`: word vectors, their nearest neighbours and analogies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_columns, print_json

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
) -> None:
    """The words nearest to a sum: `mmgen embed analogy king - man + woman`."""
    from mmgen.config import assets_dir
    from mmgen.models.encoders.word_vectors import WordSum, nearest
    from mmgen.pipelines.image import word_list
    from mmgen.runtime import Runtime

    asked = WordSum.read(words)
    with Runtime() as rt:
        known = word_list.read(among or assets_dir() / "words" / "english.txt")
        embed, reference = rt.encoder(encoder).embed_text, encoder or rt.config.encoder
        query = asked.vector(embed(asked.words))
        vectors = word_list.vectors(rt.home, reference, known, embed, lambda line: typer.echo(line, err=True))
        found = nearest(query, vectors, known, k, without=asked.words)
    if as_json:
        print_json(found)
    else:
        print_columns(("cosine", "word"), [(f"{near.similarity:.3f}", near.word) for near in found])
