"""Feedback on answers, given: where the right words stand in the documents is found out before it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen import value_checks
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.pipelines.rag.answer import NOT_READ, NOT_THERE
from mmgen.stores.relational.documents import RelationalDocumentStore
from mmgen.stores.relational.feedback import Feedback, Verdict

if TYPE_CHECKING:
    from mmgen.interfaces import Store
    from mmgen.library.document_library import DocumentLibrary

DEPTH = 50
"""Passages in which the words are looked for, by the question and then by themselves."""
LONGEST = {"question": 20_000, "answer": 20_000, "span": 2_000}
"""Characters."""


def give(
    library: DocumentLibrary,
    question: str,
    *,
    answer: str = "",
    verdict: Verdict,
    span: str | None = None,
    document: str | None = None,
    request: Request | None = None,
) -> Feedback:
    """Keeps a verdict on an answer, in place of an earlier one on the same answer to the same question.

    answer: as it was given; empty, or what an abstention says: none was.
    span: of a wrong answer the right one, words of a document; empty: the documents have none; None: not told. Of a right
        answer that a language model wrote, the words of the document that say so.
    document: the uri of the document with the right words; None: where they stand in the passage nearest to the question.

    Raises BadRequest for words that stand in no such passage, for a right answer with another span that is empty, and for a
    plugin's store, which keeps none.
    """
    given = {"question": question.strip(), "answer": answer.strip(), "span": (span or "").strip()}
    for name, text in given.items():
        value_checks.length(text, name, LONGEST[name])
    if not given["question"]:
        raise BadRequest("the question is empty; give the one that was asked")
    if given["answer"] in (NOT_THERE, NOT_READ):
        given["answer"] = ""
    kept = "" if verdict == "right" and not given["answer"] else None if span is None else given["span"]
    if verdict == "wrong" and kept == "" and not given["answer"]:
        raise BadRequest('no answer was given, and none is said to be right; that is "right"')
    if verdict == "right" and given["answer"] and kept == "":
        raise BadRequest("a right answer has words in a document; leave the empty span out")
    if verdict == "right" and given["answer"] and kept is None:
        kept = given["answer"]
    store = kept_in(library, library.filled())
    words = kept or given["answer"]
    place = _place(library, given["question"], words, document, request) if words else None
    if kept and place is None:
        where = f"not in {document}" if document else f"in none of {DEPTH} passages near the question"
        raise BadRequest(f"{kept[:80]!r} stands {where}; give the words as a document has them, with --span, or its --document")
    uri, start, end = place or ("", 0, 0)
    one = Feedback(given["question"], given["answer"], verdict, kept, uri, start, end)
    kept_in(library, library.writable(make=False)).feedback.add_many([one])
    return next(known for known in reversed(store.feedback.all()) if known.question == one.question)


def kept_in(library: DocumentLibrary, store: Store) -> RelationalDocumentStore:
    """The store, if it keeps feedback."""
    if not isinstance(store, RelationalDocumentStore):
        raise BadRequest(f"store {library.name} is a plugin's; only those of SQLite and PostgreSQL keep feedback")
    return store


def _place(
    library: DocumentLibrary, question: str, words: str, document: str | None, request: Request | None
) -> tuple[str, int, int] | None:
    """The uri, and the characters of its text; None where the words stand in no passage."""
    pattern = _pattern(words)
    if document is not None:
        found = pattern.search(library.filled().document(document).text)
        return None if found is None else (document, *found.span())
    for uri, start, text in _passages(library, (question, words), request):
        if (found := pattern.search(text)) is not None:
            return uri, start + found.start(), start + found.end()
    return None


def _passages(library: DocumentLibrary, queries: tuple[str, ...], request: Request | None) -> Iterator[tuple[str, int, str]]:
    for query in queries:
        for hit in library.search(query, k=DEPTH, request=request):
            yield hit.uri, hit.passage.start, hit.passage.text


def _pattern(words: str) -> re.Pattern[str]:
    """The words, whole, whatever spaces and line breaks stand between them."""
    said = r"\s+".join(map(re.escape, words.split()))
    first, last = (r"(?<!\w)" if words[0].isalnum() and words[0].isascii() else ""), r"(?!\w)" if words[-1].isalnum() else ""
    return re.compile(f"{first}{said}{last if words[-1].isascii() else ''}", re.IGNORECASE)
