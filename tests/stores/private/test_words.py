"""Words on a server are those that FTS5 finds in a file."""

import sqlite3

from mmgen.stores.private import words as private_words

TEXT = "The Lighthouses' keepers were RUNNING; l'été à Málaga 32 km, snake_case a.b/c.txt generously relational \u0000 Übungen"


def test_terms_are_fts5s() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')")
    connection.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row)")
    connection.execute("INSERT INTO words VALUES (?)", (TEXT.replace("\0", " "),))
    expected = {term for (term,) in connection.execute("SELECT term FROM vocabulary")}
    connection.close()
    assert set(private_words.searchable(TEXT).split()) == expected


def test_conditions() -> None:
    assert private_words.matching(["Lights", "été"])[1] == ["light", "et"]
    clause, bounds = private_words.matching(["Tea"], prefixes=True)
    assert clause.count("?") == 2 and bounds == ["tea", "tea\U0010ffff"]
    assert private_words.matching(["_"]) == ("false", [])
