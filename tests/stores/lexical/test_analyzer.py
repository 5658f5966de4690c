from mmgen.stores.lexical.analyzer import columns, ngrams, parts, pieces, stems, terms


def test_words_between_spaces() -> None:
    assert terms("The Lamps, lit_in 1823!") == ["the", "lamp", "lit", "in", "1823"]
    assert terms("L'impôt", "fr") == ["l", "impot"]
    assert terms("") == terms("?!") == []


def test_a_word_is_not_its_consonants() -> None:
    assert terms("पुस्तकालय बाज़ार", "hi") == ["पुस्तकालय", "बाजार"]
    assert terms("كِتَابٌ", "ar") == terms("كتاب", "ar")


def test_letters_without_spaces_overlap() -> None:
    assert terms("总预算为320万元", "zh") == ["总预", "预算", "算为", "为", "320", "万元", "元"]
    assert terms("도서관에서", "ko") == ["도서", "서관", "관에", "에서", "서"]
    assert ngrams("ค่าน้ำ", 3)[0] == "ค่าน้", "marks are parts of their letters"


def test_a_word_typed_without_its_accents_has_the_same_terms() -> None:
    assert set(stems("fonciere", "fr")) <= set(stems("foncière", "fr"))
    assert stems("lamps", "en") == ("lamp",)


def test_umlauts_by_language() -> None:
    assert terms("Mädchen", "de") == terms("Maedchen", "de") and terms("Straße", "de") == terms("Strasse", "de")
    assert terms("hår", "sv") == ["hår"] and terms("har", "sv") == ["har"]


def test_compounds_hold_the_pieces_of_their_parts() -> None:
    pieced = " ".join(parts("Der Krankenversicherungsbeitrag steigt.", "de"))
    assert " ".join(pieces(stems("versicherung", "de")[0])) in pieced and " ".join(pieces("beitrag")) in pieced
    assert parts("Krankenversicherungsbeitrag", "en") == parts("Haus", "de") == pieces("a4b5c6") == []
    assert columns("Haus", "de") == ("haus", "")
