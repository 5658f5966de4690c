"""Answers and documents as HTML. Everything that comes from a document or a person is escaped: it is shown, never rendered."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.records import PARTIAL

from . import formulas

if TYPE_CHECKING:
    from mmgen.interfaces import Hit
    from mmgen.pipelines.image.label_scores import LabelScore
    from mmgen.pipelines.rag.answer import Answer, Citation
    from mmgen.pipelines.rag.rag_images import IllustratingImage
    from mmgen.stores.documents import DocumentSummary

MOST_CITATIONS = 5
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
EMPTY = """<div class='empty'><p>Add documents, or load the sample documents, and ask questions about them here.</p>
<p>An answer quotes your documents. Click a citation to see it in its passage. A question that the documents do not answer gets
no answer.</p>
</div>"""
NO_DOCUMENTS = "<div class='empty'><p>No documents yet: upload files, or load the sample documents.</p></div>"


def transcript(cards: Sequence[str]) -> str:
    """The conversation, oldest first."""
    return f"<div role='log' aria-live='polite'>{''.join(cards)}</div>" if cards else EMPTY


def pending(question: str, note: str, rewritten: str = "") -> str:
    return _turn(question, f"{_searched(rewritten)}<p class='pending'>{escape(note)}</p>", "")


def failed(question: str, message: str) -> str:
    return _turn(question, f"<p>{escape(message)}</p>", "failed")


def answer(found: Answer, thumbnails: Mapping[str, bytes] = {}, pages: Mapping[int, bytes] = {}) -> str:
    """The question, its answer, and every quote, which opens to its passage.

    `thumbnails`: WebP of its images, by uri. `pages`: WebP of the pages on which quotes stand, by the citation's number from 1.
    """
    took = found.timings["total"] - found.timings["load"]
    facts = f"<p class='facts'>confidence {meter(found.confidence)} {found.confidence:.0%} · {took:.0f} ms</p>"
    shown, rewritten = _illustrations(found.images, thumbnails), _searched(found.rewritten)
    rewritten += f"<p class='warn'>{escape(found.note)}</p>" if found.note else ""
    if found.abstained:
        return _turn(found.question, f"{rewritten}{_abstained(found)}{shown}", "absent")
    quotes = "".join(
        _quote(number, found, one, pages.get(number)) for number, one in enumerate(found.citations[:MOST_CITATIONS], 1)
    )
    if found.style == "sentence":
        quotes += f"<p class='facts'>A sentence by {escape(found.model)}, in words of [1] and of the question.</p>"
    if found.quoted:
        quotes += f"<p class='facts'>The quote itself: {escape(found.quoted)}.</p>"
    if not found.citations:
        quotes = "<p class='warn'>Free generation: no source supports these words.</p>"
    return _turn(found.question, f"{rewritten}<p class='text'>{formulas.text_html(found.marked)}</p>{quotes}{shown}{facts}", "")


def _abstained(found: Answer) -> str:
    """What is known all the same: a guess with its confidence, one click away, or that nothing was found."""
    names = list(dict.fromkeys(Path(hit.uri).name for hit in found.passages))
    looked = f"Searched in {', '.join(names)}." if names else "No passage was found."
    guess = next((hit for hit in found.passages if found.guess and hit.passage_id == found.guess.passage_id), None)
    if found.guess is None or guess is None:
        return f"<p class='text'>{escape(found.text)}</p><p>{escape(looked)}</p>"
    sure = f"{meter(found.confidence)} {found.confidence:.0%}"
    summary = f"<summary>Show the best guess <small>confidence {sure}</small></summary>"
    body = f"<p>“{escape(found.guess.quote)}” <small>{escape(_place(found.guess))}</small></p>"
    body += f"<blockquote>{_marked(guess, found.guess)}</blockquote>"
    told = "No answer is sure enough to give."
    return f"<p class='text'>{told}</p><p>{escape(looked)}</p><details class='citation guess'>{summary}{body}</details>"


def documents(rows: Sequence[DocumentSummary]) -> str:
    """What can be asked; a file of images alone has no passages."""
    items = "".join(f"<li><span>{escape(Path(row.uri).name)}</span>{_extent(row)}</li>" for row in rows if row.passages)
    if not items:
        return NO_DOCUMENTS
    return f"<ul class='documents' tabindex='0' aria-label='Documents'>{items}</ul>"


def _extent(row: DocumentSummary) -> str:
    """How much of a document there is: passages, copies, and what of it could not be read."""
    missing = row.metadata.get(PARTIAL)
    copies = f", {len(row.copies)} more with the same bytes" if row.copies else ""
    part = f", <em title='{escape(str(missing), quote=True)}'>read in part</em>" if missing else ""
    return f"<small>{counted(row.passages, 'passage')}{copies}{part}</small>"


def counted(number: int, thing: str) -> str:
    """`1 passage`, `2 passages`"""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def meter(share: float) -> str:
    """A small bar, 0 to 1, beside the number that says the same."""
    return f"<span class='meter' aria-hidden='true'><i style='width:{100 * min(1.0, max(0.0, share)):.0f}%'></i></span>"


def bars(rows: Sequence[tuple[str, float, str]], label: str) -> str:
    """Names with a bar of that share, 0 to 1, and what it says in words."""
    items = "".join(
        f"<li><span>{escape(name)}</span>{meter(share)}<small>{escape(said)}</small></li>" for name, share, said in rows
    )
    return f"<ul class='bars' aria-label='{escape(label)}'>{items}</ul>"


def judgement(labels: Sequence[LabelScore]) -> str:
    return bars([(one.label, one.probability, f"{one.probability:.1%}") for one in labels], "Labels, most probable first")


def notice(text: str) -> str:
    """One line on what is missing."""
    return f"<p class='notice'>{escape(text)}</p>"


def image(webp: bytes, name: str) -> str:
    return f"<img src='data:image/webp;base64,{b64encode(webp).decode()}' alt='{escape(name)}'>"


def _illustrations(found: Sequence[IllustratingImage], thumbnails: Mapping[str, bytes]) -> str:
    figures = "".join(
        f"<figure title='{escape(one.why, quote=True)}'>{image(thumbnails[one.uri], str(one))}"
        f"<figcaption>{escape(str(one))}</figcaption></figure>"
        for one in found
        if one.uri in thumbnails
    )
    told = "<p class='facts'>Images of the store that show what the question names; the answer is not read from them.</p>"
    return f"<div class='related'>{told}<div class='illustrations'>{figures}</div></div>" if figures else ""


def _searched(rewritten: str) -> str:
    """The question as it was searched, where the conversation completes it."""
    return f"<p class='facts'>Searched: {escape(rewritten)}</p>" if rewritten else ""


def _turn(question: str, body: str, kind: str) -> str:
    return f"<article class='turn {kind}'><p class='question'>{escape(question)}</p><div class='answer'>{body}</div></article>"


def _quote(number: int, found: Answer, citation: Citation, page: bytes | None) -> str:
    hit = next(hit for hit in found.passages if hit.passage_id == citation.passage_id)
    place = escape(_place(citation) + (f", {citation.heading}" if citation.heading else ""))
    summary = f"<summary>[{number}] “{escape(citation.quote)}” <small>{place}</small></summary>"
    name = f"Page {citation.page} of {Path(citation.document).name}, with the quote marked"
    shown = f"<div class='page'>{image(page, name)}</div>" if page else ""
    return f"<details class='citation'>{summary}<blockquote>{_marked(hit, citation)}</blockquote>{shown}</details>"


def _place(citation: Citation) -> str:
    page = f", page {citation.page}" if citation.page else ""
    sure = "" if citation.recognized is None else f", read by OCR ({citation.recognized:.0%} sure)"
    return f"{Path(citation.document).name}{page}{sure}"


def _marked(hit: Hit, citation: Citation) -> str:
    """The passage with the quote in a mark, and Markdown's headings without their signs."""
    text, offset = hit.passage.text, hit.passage.start
    start, end = citation.start - offset, citation.end - offset
    shown = f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
    return HEADING.sub(r"<strong>\1</strong>", shown)
