"""Records as lines of text: short ones whole, long ones in pieces that each name their record; no word is lost."""

from mmgen.ingest.records import PIECE, record, tokens


def test_a_short_record_is_one_block() -> None:
    assert record([("id", "7"), ("", "free text"), ("log", "all well")]) == "id: 7\nfree text\nlog: all well"


def test_every_piece_of_a_long_cell_carries_the_key_and_the_column() -> None:
    words = [f"Pump {n} ran." for n in range(400)]
    blocks = record([("id", "4711"), ("state", "open"), ("log", " ".join(words))]).split("\n\n")
    assert len(blocks) > 5 and blocks[0].startswith("id: 4711\nstate: open\nlog: Pump 0 ran.")
    assert all(block.startswith("id: 4711\nlog: Pump ") and block.endswith("ran.") for block in blocks[1:])
    assert all(tokens(block) <= PIECE for block in blocks)
    assert " ".join(block.split("log: ")[1] for block in blocks) == " ".join(words)


def test_every_piece_of_a_wide_row_carries_the_key() -> None:
    blocks = record([(f"column {n}", f"value {n}") for n in range(100)]).split("\n\n")
    assert len(blocks) > 3 and all(block.startswith("column 0: value 0\n") for block in blocks)
    assert all("\n".join(blocks).count(f"column {n}: value {n}\n") == 1 for n in range(1, 99))


def test_a_word_without_spaces_is_cut() -> None:
    text = record([("id", "7"), ("blob", "字" * 700)])
    assert text.count("字") == 700 and all(block.startswith("id: 7\nblob: 字") for block in text.split("\n\n"))


def test_without_a_short_field_the_pieces_have_their_own_names() -> None:
    blocks = record([("log", "well " * 300)]).split("\n\n")
    assert len(blocks) > 2 and all(block.startswith("log: well") for block in blocks)
