import unicodedata

import pytest

from mmgen.stores.lexical.normalization import folded, normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ﬁlm", "film"),
        ("ＡＢＣ", "abc"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("३२०", "320"),
        ("٣٢٠", "320"),
        ("kranken\u00adhaus", "krankenhaus"),
        ("क्\u200dष", "क्ष"),
        ("ΟΔΟΣ", "οδοσ"),
        ("葛\U000e0100", "葛"),
    ],
)
def test_one_text_typed_in_two_ways(one: str, other: str) -> None:
    assert normalized(one) == normalized(other) == other.casefold()


def test_traditional_characters_are_looked_up_as_simplified_ones() -> None:
    whole = normalized("圖書館翻新工程的總預算為三百二十萬元。頭髮與發展")
    assert whole == "图书馆翻新工程的总预算为三百二十万元。头发与发展"
    assert "".join(normalized(letter) for letter in "圖書館頭髮") == "图书馆头发"  # a part becomes what it is in the whole
    assert normalized("か゚東京 学校") == "か゚东京 学校"


def test_persian_endings_stand_apart() -> None:
    assert normalized("کتاب\u200cها").split() == ["کتاب", "ها"]


def test_turkish_has_two_letters_i() -> None:
    assert normalized("ISPARTA İZMİR", "tr") == "ısparta izmir"
    assert folded(normalized("ISPARTA", "tr"), "tr") == folded(normalized("ISPARTA")) == "isparta"


@pytest.mark.parametrize(
    ("word", "language", "expected"),
    [
        ("impôt", "fr", "impot"),
        (unicodedata.normalize("NFD", "théâtre"), "fr", "theatre"),
        ("smörgås", "sv", "smörgås"),
        ("idéer", "sv", "ideer"),
        ("smörgås", "en", "smorgas"),
        ("łódź", "pl", "lodz"),
        ("ёлка", "ru", "елка"),
        ("йод", "ru", "йод"),
        ("за\u0301мок", "ru", "замок"),
        ("їжа", "uk", "їжа"),
        ("كِتَابٌ", "ar", "كتاب"),
        ("كتـــاب", "ar", "كتاب"),
        ("أحمد", "ar", "احمد"),
        ("שָׁלוֹם", "he", "שלום"),
        ("साफ़", "hi", "साफ"),
        ("हाँ", "hi", "हां"),
        ("ที่นี่", "th", "ที่นี่"),
    ],
)
def test_marks_that_may_be_left_out_and_those_that_may_not(word: str, language: str, expected: str) -> None:
    assert folded(normalized(word), language) == expected
