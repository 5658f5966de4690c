"""`mmgen embed`: vectors of words, and which words are near to sums of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmgen.cli.output import print_columns, print_json

if TYPE_CHECKING:
    import numpy as np

    from mmgen.runtime import Runtime

app = typer.Typer(help="Vectors of words: analogies and neighbours.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `analogy` a subcommand while it is the only one."""


@app.command()
def analogy(
    words: Annotated[list[str], typer.Argument(help="WORD - WORD + WORD, as many as you like.")],
    encoder: Annotated[str | None, typer.Option(help="An encoder's reference; without it the configured one.")] = None,
    among: Annotated[Path | None, typer.Option(help="A word a line; without it the 10,000 words that come along.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Words shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The words nearest to a sum: `mmgen embed analogy king - man + woman`."""
    from mmgen.config import assets_dir
    from mmgen.models.word_vectors import Sum, nearest
    from mmgen.runtime import Runtime

    asked = Sum.read(words)
    with Runtime() as rt:
        known = _words(among or assets_dir() / "words" / "english.txt")
        query = asked.vector(rt.encoder(encoder).embed_text(asked.words))
        found = nearest(query, _vectors(rt, encoder, known), known, k, without=asked.words)
    if as_json:
        print_json(found)
    else:
        print_columns(("cosine", "word"), [(f"{near.similarity:.3f}", near.word) for near in found])


def _words(path: Path) -> list[str]:
    from mmgen.errors import NotFound

    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as why:
        raise NotFound(f"{path} cannot be read ({why}); it should hold a word a line, in UTF-8") from None


def _vectors(rt: Runtime, encoder: str | None, words: list[str]) -> np.ndarray:
    """(words, D) of unit length, kept in the home directory: encoding them takes seconds."""
    import numpy as np

    reference = encoder or rt.config.encoder
    name = hashlib.sha256("\n".join([reference, *words]).encode()).hexdigest()[:16]
    path = rt.home / "words" / f"{name}.npy"
    if path.is_file():
        return np.asarray(np.load(path), dtype=np.float32)
    typer.echo(f"encoding {len(words):,} words once ...", err=True)
    vectors = np.asarray(rt.encoder(encoder).embed_text(words))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{name}.new.npy")
    np.save(fresh, vectors.astype(np.float16))
    fresh.replace(path)
    return vectors
