"""Which sentences a passage supports, and with which quote."""

import pytest

from mmgen.pipelines.rag.word_overlap import fold, support

PASSAGE = "# Lamps\n\nFresnel was an engineer. He lit the lamp in 1823. It was not made of 1,200 parts.\n\nTea came to Japan."


def quoted(sentence: str, heading: str = "") -> tuple[float, str]:
    found = support(sentence, PASSAGE, heading)
    return found.share, PASSAGE[found.start : found.end]


@pytest.mark.parametrize(
    ("sentence", "share", "quote"),
    [
        ("The lamp was lit in 1823.", 1.0, "He lit the lamp in 1823."),
        ("- In 1823 he lit the lamp", 1.0, "He lit the lamp in 1823."),
        ("Fresnel lit the lamp in 1823.", 1.0, "Fresnel was an engineer. He lit the lamp in 1823."),
        ("The great lamp was lit in 1823.", 0.75, "He lit the lamp in 1823."),
        ("The lamp's parts were not 1200.", 1.0, "He lit the lamp in 1823. It was not made of 1,200 parts."),
        ("1. Tea came to Japan", 1.0, "Tea came to Japan."),
        ("The *lamp* was lit - in 1823.", 1.0, "He lit the lamp in 1823."),
    ],
)
def test_the_shortest_quote_with_most_of_the_words(sentence: str, share: float, quote: str) -> None:
    assert quoted(sentence) == (pytest.approx(share), quote)


@pytest.mark.parametrize(
    "sentence",
    [
        "The lamp was lit in 1824.",  # a number
        "Fresnel lit the lamp in Paris.",  # a name
        "Argand lit the lamp in 1823.",  # also as the first word
        "The lamp was not lit in 1823.",  # a negation
        "The lamp wasn't lit in 1823.",
        "It was made of 1200 parts.",  # a negation that is lost
        "Three engineers lit the lamp.",  # a number in words
        "Fresnel came to Japan.",  # words from too far apart
        "Yes, it is.",  # nothing is said
        "...",
    ],
)
def test_what_changes_the_meaning_has_to_be_there(sentence: str) -> None:
    assert quoted(sentence) == (0.0, "")


def test_words_of_the_heading_count() -> None:
    assert quoted("The Cordouan lamp was lit in 1823.")[0] == 0.0
    assert quoted("The Cordouan lamp was lit in 1823.", "Towers > Cordouan") == (1.0, "He lit the lamp in 1823.")


def test_scripts_without_spaces_are_compared_by_character() -> None:
    text = "灯塔建于1823年。茶来自日本。"
    found = support("灯塔建于1823年。", text)
    assert (found.share, text[found.start : found.end]) == (1.0, "灯塔建于1823年。")
    assert support("灯塔建于1824年。", text).share == 0.0


@pytest.mark.parametrize(
    ("word", "folded"),
    [("Lamps", "lamp"), ("lamp’s", "lamp"), ("glass", "glass"), ("1,823.5", "1823.5"), ("Isn't", "not"), ("gas", "gas")],
)
def test_fold(word: str, folded: str) -> None:
    assert fold(word) == folded


@pytest.mark.parametrize(
    ("sentence", "passage", "supported"),
    [
        ("पुस्तकालय सोमवार को बंद रहता है", "पुस्तकालय सोमवार को बंद रहता है।", True),
        ("पुस्तकालय सोमवार को बंद रहता है", "पशु तक लिया सो मवर का बद रहत ह।", False),
        ("L'impo\u0302t est dû", "L'impôt est dû en octobre.", True),
        ("总预算为三百二十万元", "图书馆翻新工程的总预算为三百二十万元。", True),
        ("คลินิกเปิดทุกวัน", "คลินิกเปิดให้บริการทุกวันจันทร์", True),
    ],
)
def test_other_scripts(sentence: str, passage: str, supported: bool) -> None:
    assert (support(sentence, passage).share == 1.0) == supported


def test_a_mark_alone_is_no_digit() -> None:
    assert fold("\u064b") == ""
