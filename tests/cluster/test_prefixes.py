from mmgen.cluster.prefixes import BLOCK, LENGTHS, PrefixIndex, chain


def test_equal_beginnings_have_equal_hashes() -> None:
    one, other = "a" * (5 * BLOCK), "a" * (3 * BLOCK) + "b" * (2 * BLOCK)
    assert len(chain(one)) == LENGTHS.index(4) + 1 and chain(one)[:3] == chain(other)[:3] and chain(one)[3] != chain(other)[3]
    assert chain("a" * (BLOCK - 1)) == () and len(chain("é\ud800" * 10**5)) == len(LENGTHS)


def test_the_longest_is_found_for_its_model_and_its_last_reader_stands_last() -> None:
    index, text = PrefixIndex(), "a" * (12 * BLOCK)
    index.add("r0", "m", chain(text[: 4 * BLOCK]))
    index.add("r1", "m", chain(text[: 2 * BLOCK]))
    assert index.longest("m", chain(text)) == (4 / 12, {"r0": None})
    assert list(index.longest("m", chain(text[: 2 * BLOCK]))[1]) == ["r0", "r1"]
    assert index.longest("other", chain(text)) == (0.0, {})
    index.drop("r0", "m")
    assert index.longest("m", chain(text)) == (2 / 12, {"r1": None})
    index.drop("r1")
    assert index.longest("m", chain(text)) == (0.0, {})


def test_old_ones_are_forgotten_the_longest_first() -> None:
    index, texts = PrefixIndex(kept=4), ["a" * (3 * BLOCK), "b" * (3 * BLOCK)]
    for text in texts:
        index.add("r0", "m", chain(text))
    assert index.longest("m", chain(texts[0]))[0] == 1 / 3 and index.longest("m", chain(texts[1]))[0] == 1.0
