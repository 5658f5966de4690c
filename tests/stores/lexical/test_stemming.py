import pytest

from mmgen.stores.lexical.stemming import language_of, script_of, stem


@pytest.mark.parametrize(
    ("word", "language", "expected"),
    [
        ("lamps", "en", "en"),
        ("lamps", "und", "en"),
        ("lamps", "ru", "en"),
        ("lamps", "zh", "en"),
        ("lampen", "de", "de"),
        ("kniha", "sk", "sk"),
        ("книги", "en", "ru"),
        ("книги", "uk", "uk"),
        ("كتب", "fr", "ar"),
        ("کتاب", "ur", "ur"),
        ("1984", "en", "en"),
    ],
)
def test_a_word_goes_by_the_rules_of_its_script(word: str, language: str, expected: str) -> None:
    assert language_of(word, language) == expected


def test_stems() -> None:
    assert stem("häuser", "de") == stem("haus", "de") == stem("haeuser", "de")
    assert stem("книгами", "ru") == stem("книга", "ru")
    assert stem("пісня", "uk") == "пісня", "no stemmer: the word as it is"
    assert script_of("2024") == "" and script_of("ความ") == ""
