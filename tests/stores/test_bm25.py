from mmgen.stores.bm25 import MOST_TERMS, match


def test_match() -> None:
    assert match("Who lit the lamps, and the LAMPS?") == '"lit" OR "lamps"'
    assert match('"; NEAR(x*)') == '"near" OR "x"'
    assert match("to be or not") == '"not"' and match("to be") == '"to" OR "be"'
    assert match("?!") == match("") == ""
    assert match(" ".join(map(str, range(9999)))).count(" OR ") == MOST_TERMS - 1
