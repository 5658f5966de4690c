"""Prints an answer with its citations to a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mmgen.pipelines.rag.answer import Answer, Citation

MOST_CITATIONS = 5
QUOTE, PLACE = "  ", "      "  # indentation


def print_answer(answer: Answer) -> None:
    """Prints the question where it was rewritten, the answer, then each quote with its location and sentence.

    An abstention names the documents searched.
    """
    if answer.rewritten:
        typer.secho(f"{QUOTE}(searched: {answer.rewritten})", dim=True)
    facts = f"confidence {answer.confidence:.0%}, {answer.timings['total'] - answer.timings['load']:.0f} ms"
    facts += "".join(f", adapter {name}" for name in answer.adapters.values())
    if answer.note:
        typer.secho(f"{QUOTE}note: {answer.note}", fg=typer.colors.YELLOW)
    if answer.abstained:
        typer.secho(f"{QUOTE}-- {answer.text}", fg=typer.colors.YELLOW)
        names = list(dict.fromkeys(Path(hit.uri).name for hit in answer.passages))
        typer.secho(f"{QUOTE}searched: {', '.join(names)}" if names else f"{QUOTE}no passage fits the filter", dim=True)
        hint = "--grounding off shows what the model writes" if answer.model else "--threshold 0 shows the best guess"
        typer.secho(f"{QUOTE}{facts}; {hint}", dim=True)
        print_images(answer)
        return
    typer.secho(one_line(answer.text) if answer.citations and not answer.model else answer.marked, bold=True)
    for number, citation in enumerate(answer.citations[:MOST_CITATIONS], 1):
        typer.echo(f'{QUOTE}[{number}] "{one_line(citation.quote)}"')
        typer.secho(f"{PLACE}{place(citation)}", dim=True)
        sentence = context(answer, citation)
        if sentence != one_line(citation.quote):
            typer.secho(f"{PLACE}{sentence}", dim=True)
    if (more := len(answer.citations) - MOST_CITATIONS) > 0:
        typer.secho(f"{QUOTE}and {more} more places; --json names them", dim=True)
    if answer.style == "sentence":
        typer.secho(f"{QUOTE}a sentence by {answer.model}, in words of [1] and of the question", dim=True)
    if answer.quoted:
        typer.secho(f"{QUOTE}the quote itself: {answer.quoted}", dim=True)
    typer.secho(f"{QUOTE}{facts}", dim=True)
    print_images(answer)


def print_images(answer: Answer) -> None:
    """Prints each image with its file and the reason it was found."""
    for number, image in enumerate(answer.images, 1):
        typer.echo(f"{QUOTE}image {number}: {image}")
        typer.secho(f"{PLACE}by {image.why}", dim=True)


def place(citation: Citation) -> str:
    """`lighthouses.md [412:431], Lighthouses > Early towers`"""
    return f"{citation}{f', {citation.heading}' if citation.heading else ''}{also(citation.copies)}"


def also(copies: Sequence[str]) -> str:
    """`, also in drill.txt and 4 more`"""
    more = f" and {len(copies) - 1} more" if len(copies) > 1 else ""
    return f", also in {Path(copies[0]).name}{more}" if copies else ""


def context(answer: Answer, citation: Citation) -> str:
    """The sentence in which the quote stands, on one line."""
    from mmgen.pipelines.rag.sentence_spans import sentence_around

    passage = next(hit.passage for hit in answer.passages if hit.passage_id == citation.passage_id)
    start, end = sentence_around(passage.text, citation.start - passage.start, citation.end - passage.start)
    return one_line(passage.text[start:end])


def one_line(text: str) -> str:
    return " ".join(text.split())
