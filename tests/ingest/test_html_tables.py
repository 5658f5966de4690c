"""Tables are lines of cells, each with what spans it; long ones carry their header."""

from lxml import html as library

from mmgen.ingest.html_tables import is_data, table_text


def table(rows: str):  # type: ignore[no-untyped-def]
    return library.fragment_fromstring(f"<table>{rows}</table>")


def test_a_cell_over_several_rows_stands_in_each() -> None:
    rows = "<caption>Guarantee</caption><tr><th>Part</th><th>Years</th><th>Where</th></tr><tr><td rowspan=2>Heater<td>5<td>home"
    assert table_text(table(rows + "<tr><td>1<td>hotel<tr><td colspan=2>Lid<td></tr>")) == (
        "Guarantee\n\nPart | Years | Where\nHeater | 5 | home\nHeater | 1 | hotel\nLid |"
    )


def test_pieces_of_a_long_table_carry_the_header() -> None:
    body = "".join(f"<tr><td>Light {n}</td><td>{1800 + n}</td></tr>" for n in range(200))
    blocks = table_text(table("<tr><th>Name</th><th>Lit</th></tr>" + body)).split("\n\n")
    assert len(blocks) > 5 and all(block.startswith("Name | Lit\nLight ") for block in blocks)
    assert sum(block.count("Light") for block in blocks) == 200


def test_a_span_over_thousands_of_rows_makes_no_text_of_a_multiple_of_its_length() -> None:
    wide = "<tr>" + f"<td rowspan=60000>{'x' * 70}" * 200
    rows = wide + "<tr><td>y" * 3000
    assert len(table_text(table(rows))) < 8 * len(rows)


def test_a_layout_is_no_table() -> None:
    assert is_data(table("<tr><td>a"))
    assert not is_data(table("<tr><td><h1>Page</h1>")) and not is_data(table("<tr><td><table><tr><td>x</table>"))
    assert not is_data(table(f"<tr><td>{'word ' * 500}"))
