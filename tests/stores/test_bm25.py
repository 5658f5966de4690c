from mmgen.stores.bm25 import MOST_TERMS, old_match


def test_the_words_of_an_older_store() -> None:
    assert old_match("Who lit the lamps, and the LAMPS?") == '"lit" OR "lamps"'
    assert old_match('"; NEAR(x*)') == '"near" OR "x"'
    assert old_match("to be or not") == '"not"' and old_match("to be") == '"to" OR "be"'
    assert old_match("?!") == old_match("") == ""
    assert old_match(" ".join(map(str, range(9999)))).count(" OR ") == MOST_TERMS - 1
