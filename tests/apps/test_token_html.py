"""Written text as HTML: each token with how likely it was, and nothing rendered."""

from math import log

from apps.token_html import TokenSheet, spans
from mmgen.pipelines.language.text_pipeline import Completion, Delta, Token, TokenUsage

LIKELY = Token(" the", log(0.5), [Token(" the", log(0.5)), Token(" a", log(0.25))])


def test_a_token_tells_how_likely_it_was_and_what_else_there_was() -> None:
    span = spans(" the", [LIKELY])
    assert "--p:0.500" in span and "“ the” 50.0%" in span and "instead of “ a” 25.0%" in span


def test_nothing_is_rendered() -> None:
    hostile = Token("<b>'\"", log(0.1), [Token("<i>'", log(0.2))])
    sheet = TokenSheet("<u>")
    sheet.take(Delta(0, hostile.text, [hostile]))
    shown = sheet.html("<s>", busy=True)
    for tag in ("<b>", "<i>", "<u>", "<s>"):
        assert tag not in shown
    assert "data-told='“&lt;b&gt;&#x27;&quot;”" in shown  # no quote ends the attribute


def test_a_character_of_several_tokens_is_one_span() -> None:
    halves = [Token("\ufffd", log(0.5)), Token("\ufffd", log(0.5))]
    assert spans("é", halves).count("<span") == 1 and "é</span>" in spans("é", halves) and "--p:0.250" in spans("é", halves)


def test_text_without_probabilities_is_plain() -> None:
    assert spans("a < b", []) == "a &lt; b"


def test_facts_tell_the_mean_probability() -> None:
    sheet = TokenSheet("")
    sheet.take(Delta(0, " the the", [LIKELY, Token(" the", log(0.125))]))
    done = Completion(
        "", [" the the"], ["length"], TokenUsage(1, 0, 2), 7, "m", {"first": 500.0, "write": 1500.0, "total": 2000.0}
    )
    assert sheet.facts(done) == "2 tokens in 2.0 s · 25% a token · seed 7"
