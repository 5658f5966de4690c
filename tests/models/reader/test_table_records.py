"""The row of a table that a question names, in sentences, with places in the passage."""

from mmgen.models.reader.table_records import cell_at, reading

ROWS = (
    "Article: Bolt M4\nHall: 2\nPrice: 0.12",
    "Article: Hook\nHall: 5\nPrice: 12.40 each",
    "Article: Nut M4\nHall: 2\nPrice: 0.05",
)
TABLE = "\n\n".join(ROWS)


def test_the_named_row_alone_is_said_in_sentences() -> None:
    read = reading(TABLE, "What is the price of the hooks?")
    assert read is not None and read.text == "The Price of Hook is 12.40 each. "
    start = read.text.index("12.40")
    found = read.source(start, start + 5)
    assert found is not None and TABLE[slice(*found)] == "12.40"
    assert read.source(0, 8) is None and read.source(start - 3, start + 5) is None  # a column's name, a sentence's words


def test_other_columns_are_said_where_no_price_is_asked() -> None:
    read = reading(TABLE, "Where are the hooks?")
    assert read is not None and read.text == "The Hall of Hook is 5. The Price of Hook is 12.40 each. "


def test_a_row_is_found_by_any_of_its_columns() -> None:
    read = reading(TABLE, "Which article costs 0.05?")
    assert read is not None and "The Article of 0.05 is Nut M4." in read.text


def test_what_names_no_row_or_two_is_read_as_it_is() -> None:
    assert reading(TABLE, "Which article is in hall 2?") is None
    assert reading(TABLE, "What is the cheapest?") is None
    assert reading("A hook costs 12.40.\n\nNote: it is heavy.", "What does a hook cost?") is None


def test_prose_around_a_table_stays() -> None:
    text = f"Prices are in francs.\n\n{TABLE}\n\nAsk for more."
    read = reading(text, "What does the hook cost?")
    assert (
        read is not None and read.text.startswith("Prices are in francs.\n\nThe Price of Hook") and read.text.endswith("more.")
    )
    found = read.source(0, 6)
    assert found == (0, 6)
    last = read.text.index("Ask")
    assert read.source(last, last + 3) == (text.index("Ask"), text.index("Ask") + 3)


def test_a_price_is_read_from_the_columns_of_prices() -> None:
    read = reading(
        "Artikel: Haken\nLager: Halle 7\nPreis: 0,31\n\nArtikel: Mutter\nLager: Halle 2\nPreis: 0,12", "Was kostet Haken?"
    )
    assert read is not None and read.text == "The Preis of Haken is 0,31. "


def test_the_line_of_a_table_that_holds_a_place() -> None:
    assert cell_at(TABLE, TABLE.index("0.05")) == "Price: 0.05"
    assert cell_at("Prices are below.", 3) == ""


def test_a_conversation_is_no_row() -> None:
    assert (
        reading(
            "id: t2\nts: 2025-03-11\nuser: When is the service due?\nassistant: Every 18 months.", "When is the service due?"
        )
        is None
    )
