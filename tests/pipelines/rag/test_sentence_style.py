"""Sentences about what the reader found: what a model may write, and what holds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_lm import Say

import mmgen
from mmgen.errors import BadRequest
from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag.answer import cited
from mmgen.pipelines.rag.sentence_style import FoundSpan, flaw, grammar, same, vocabulary
from mmgen.pipelines.rag_text import RagText
from mmgen.rag_params import RagParams
from mmgen.runtime import Runtime

TEXT = "The tower burned down. The lamp of Hirta was lit by Anna Stuart before 1823, not by Fresnel. It burned seal oil."
ASKED = "When was the lamp of Hirta lit in 1999?"


def finding(span: str, text: str = TEXT) -> FoundSpan:
    start = text.index(span)
    hit = Hit(1, 1, "hirta.md", Passage(text, 0, len(text), heading="Lamps"), 1.0)
    return FoundSpan.of(cited(hit, start, start + len(span)), hit)


def test_a_span_keeps_its_qualifiers() -> None:
    assert finding("1823").span == "before 1823" and finding("Anna Stuart").span == "Anna Stuart"
    assert finding("ten", "He was at least ten.").span == "least ten"
    assert finding("law", "It was one of the law.").span == "law"


def test_the_vocabulary_is_the_questions() -> None:
    assert vocabulary(finding("1823"), ASKED) == [({"lamp"}, False), ({"Hirta"}, True), ({"lit"}, False)], "1999 is no evidence"
    assert vocabulary(finding("tower"), "What burns down?") == [({"burns", "burned"}, False), ({"down"}, False)]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("The lamp of Hirta was lit before 1823.", True),
        ("Before 1823, the lamp of Hirta was lit.", True),
        ("The lamp of Hirta before 1823 was lit.", True),
        ("The lamp was lit before 1823.", False),
        ("Hirta was the lamp before 1823.", False),
        ("The lamp of Hirta was lit by Anna Stuart before 1823.", False),
        ("The lamp of Hirta was lit in 1999.", False),
        ("The lamp of Hirta was lit.", False),
        ("The lamp of Hirta was lit before 1823", False),
        ("Before 1823 the lamp of Hirta was lit by the.", False),
    ],
)
def test_the_grammar_takes_such_sentences(text: str, fits: bool) -> None:
    assert bool(re.fullmatch(grammar(finding("1823"), ASKED), text)) is fits


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The lamp of Hirta was not lit before 1823.", ""),
        ("The lamp of Hirta was lit before 1823.", "negated otherwise"),
        ("The lamp of Hirta was not lit before 1823", "did not end"),
        ("The lamp of Hirta was not lit.", "lacks the quote"),
        ("The lamp of Hirta was not lit before 1823 before 1823.", "repeats the quote"),
        ("The lamp of Hirta was not lit before 1823 in 1999.", '"1999" does not stand in the evidence'),
        ("The lamp of Hirta was not lit before 1823 by monks.", '"monk" stands neither'),
        ("The lamp was not lit before 1823.", 'leaves out "hirta"'),
        ("The lamp and the lamp of Hirta was not lit before 1823.", 'says "lamp" twice'),
        ("Hirta was not before 1823.", "too little of the question"),
        ("The lamp of Hirta was not lit before 1823" + " and is" * 20 + ".", "longer than"),
    ],
)
def test_flaws(text: str, reason: str) -> None:
    found = flaw(text, finding("1823"), ASKED)
    assert reason in found and bool(found) is bool(reason)


def test_spans_that_share_most() -> None:
    assert same("the Anna Stuart", "Anna Stuart") and same("1823", "before 1823") and not same("Fresnel", "Anna Stuart")


@pytest.fixture(scope="module")
def rag(tiny_runtime: Runtime, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagText]:
    folder = tmp_path_factory.mktemp("sentences")
    rag = mmgen.pipeline("rag-text", runtime=tiny_runtime, store=str(folder / "store"), model=str(tiny_llama))
    rag.add_text(TEXT, "hirta.md")
    yield rag
    rag.close()


def test_a_sentence_or_the_quote(rag: RagText, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"threshold": 0.0, "style": "sentence"}
    say("Nonsense.")
    quote = rag(ASKED, **options)
    assert (quote.style, quote.model, quote.sentences) == ("quote", "", []) and quote.quoted
    assert quote.text == quote.citations[0].quote
    monkeypatch.setattr("mmgen.pipelines.rag.sentence_style.flaw", lambda *_: "")
    monkeypatch.setattr("mmgen.pipelines.rag.sentence_style.same", lambda *_: True)
    asked = say(f"The lamp says {quote.text}.")
    events = list(rag.stream(ASKED, **options))
    answer = events[-1].value
    if quote.quoted == "the quote is a sentence by itself":
        assert not asked and answer.style == "quote"
    else:
        assert asked[0].constraint is not None and "text" in [event.kind for event in events]
        assert (answer.style, answer.text, answer.quoted) == ("sentence", f"The lamp says {quote.text}.", "")
        assert answer.marked == f"{answer.text} [1]" and answer.citations == quote.citations
        assert rag("Was it?", history=[answer]).question == "Was it?"


def test_free_writing_says_nothing_that_was_found() -> None:
    with pytest.raises(BadRequest, match="style is sentence and grounding is off"):
        RagParams(style="sentence", grounding="off")


def test_a_number_stands_as_the_evidence_writes_it() -> None:
    found = finding("1823", "In the 17th year it was lit before 1823.")
    asked = "When was it lit in the 17 year?"
    assert flaw("It was lit in the 17 year before 1823.", found, asked) == '"17" does not stand in the evidence'
    assert '"17th"' not in flaw("It was lit in the 17th year before 1823.", found, asked)


def test_what_no_sentence_has_is_refused() -> None:
    asked = "When was the lamp of Hirta lit?"
    for text in ("The lamp of Hirta is as lit before 1823.", "The lamp is lit was Hirta and had before 1823."):
        assert flaw(text, finding("1823"), asked) == "the model's sentence is none"
    found = finding("1823", "The lamp of Hirta was lit by Anna Stuart before 1823.")
    assert flaw("The lamp of Hirta was lit before 1823.", found, asked) == ""


def test_words_that_ask_are_not_said() -> None:
    found = finding("seal oil")
    assert [forms for forms, _ in vocabulary(found, "What does it burn?")] == [{"burn", "burned"}]
    assert vocabulary(found, "How long did it?") == [], "the span says how long"
