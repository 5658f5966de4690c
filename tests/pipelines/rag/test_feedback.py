"""Where the words of a verdict stand is found out, or it is not kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import BadRequest, NotFound, TooLong
from mmgen.interfaces import Document
from mmgen.library.document_library import DocumentLibrary
from mmgen.pipelines.rag.answer import NOT_THERE
from mmgen.pipelines.rag.feedback import give
from mmgen.runtime import Runtime

TEXTS = {"/lamp": "The lamp was\n lit in 1823, not in 18230.", "/tea": "Tea came to Japan with monks in 1823."}


@pytest.fixture(scope="module")
def library(tiny_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentLibrary]:
    library = DocumentLibrary.open(tiny_runtime, tmp_path_factory.mktemp("said") / "store")
    library.add(documents=[Document(uri, text, "text", uri) for uri, text in TEXTS.items()])
    yield library
    library.close()


@pytest.mark.parametrize(
    ("given", "span", "quoted"),
    [
        ({"answer": "was lit", "verdict": "right"}, "was lit", "was\n lit"),
        ({"answer": "in the year 1823", "verdict": "right", "span": "1823", "document": "/lamp"}, "1823", "1823"),
        ({"answer": "Japan", "verdict": "wrong", "span": "JAPAN"}, "JAPAN", "Japan"),
        ({"answer": "monks", "verdict": "wrong"}, None, "monks"),
        ({"answer": "monks", "verdict": "wrong", "span": " "}, "", "monks"),
        ({"answer": "no such words", "verdict": "wrong"}, None, ""),
        ({"answer": NOT_THERE, "verdict": "right"}, "", ""),
        ({"verdict": "wrong"}, None, ""),
    ],
)
def test_what_is_kept(library: DocumentLibrary, given: dict[str, Any], span: str | None, quoted: str) -> None:
    kept = give(library, " When was it lit? ", **given)
    assert (kept.question, kept.verdict, kept.span) == ("When was it lit?", given["verdict"], span) and kept.id
    assert kept.answer == ("" if given.get("answer", "") == NOT_THERE else given.get("answer", ""))
    assert TEXTS.get(kept.document, "")[kept.start : kept.end] == quoted and bool(kept.document) == bool(quoted)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"answer": "1824", "verdict": "right"}, "'1824' stands in none of 50 passages near the question"),
        ({"answer": "182", "verdict": "right"}, "'182' stands in none"),
        ({"verdict": "wrong", "span": "Japan", "document": "/lamp"}, "'Japan' stands not in /lamp"),
        ({"answer": "1823", "verdict": "right", "span": ""}, "a right answer has words in a document"),
        ({"answer": "", "verdict": "wrong", "span": ""}, 'no answer was given, and none is said to be right; that is "right"'),
    ],
)
def test_what_is_not(library: DocumentLibrary, given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        give(library, "When?", **given)


def test_bad_input(library: DocumentLibrary, tiny_runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="the question is empty"):
        give(library, " ", verdict="right")
    with pytest.raises(TooLong, match="span is 2,001 characters"):
        give(library, "When?", verdict="wrong", span="x" * 2001)
    with pytest.raises(NotFound):
        give(library, "When?", verdict="wrong", document="/none", span="x")
    with pytest.raises(NotFound):
        give(DocumentLibrary.open(tiny_runtime, tmp_path / "none"), "When?", verdict="right")
