"""Tables as programs export them: the delimiter, the header and the cells are found, and nothing is lost without a word."""

import time

import pytest

from mmgen.ingest.records import PARTIAL
from mmgen.ingest.tables import delimiter_of, header_at, parsed, rows_text


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1,5;2,5\n", ";"),
        ("1,5;2,5\n3,5;4,5\n", ";"),
        ("Probe;Druck (min, max, mittel), bar;Ort, Raum\nP-1;3,1, 4,0;Labor, 12\nP-2;2,2, 2,9;Labor, 14\n", ";"),
        ("name,remark\nTea,a; b; c; d\nCoffee,x; y\n", ","),
        ('name,remark\n"Tea; green",1\n"Coffee; black; strong",2\n', ","),
        ("a|b\n1,2,3|2\n4|5,6\n", "|"),
        ("a, b\tc\n1\t2\n", "\t"),
        ("only\nwords\n", ","),
        ("", ","),
    ],
)
def test_delimiter(text: str, delimiter: str) -> None:
    assert delimiter_of(text) == delimiter


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\n', "SEP=;\n"])
def test_the_directive_of_excel_is_no_header(first: str) -> None:
    assert rows_text(first + "Artikel;Preis\nDübel, 8 mm;0,31\n")[0] == "Artikel: Dübel, 8 mm\nPreis: 0,31"


def test_lines_above_the_header_stay_as_they_are() -> None:
    top = "Kontoauszug, Girokonto\nInhaber: M., Zeitraum: März\n"
    table = "Tag;Empfänger;Betrag\n03.03.2025;Stadtwerke;-84,50\n11.03.2025;Bäcker;-23,90\n"
    expected = (
        top + "\nTag: 03.03.2025\nEmpfänger: Stadtwerke\nBetrag: -84,50\n\nTag: 11.03.2025\nEmpfänger: Bäcker\nBetrag: -23,90"
    )
    assert rows_text(top + "\n" + table) == (expected, {"rows": 2})
    assert rows_text(top + table)[0] == expected
    padded = "Konto;;\nInhaber: M.;;\n;;\n" + table
    assert rows_text(padded)[0].endswith(expected[len(top) :])


@pytest.mark.parametrize(
    ("rows", "at"),
    [
        ([["a", "b"], ["1", "2", "3"], ["4", "5", "6"]], 0),  # data rows that end in a delimiter
        ([["", "a", "b"], ["0", "1", "2"]], 0),  # an index without a name
        ([["IBAN", "DE12"], [], ["day", "text", "sum"], ["1", "x", "2"], ["2", "y", "3"]], 2),
        ([["a", "b"], [], ["1", "2"], ["3", "4"]], 0),
        ([], 0),
    ],
)
def test_header(rows: list[list[str]], at: int) -> None:
    assert header_at(rows) == at


def test_a_table_without_a_header_keeps_its_first_row() -> None:
    assert rows_text("03.03.2025;Strom;-84,50\n11.03.2025;Brot;-2,90\n")[0].startswith("column 1: 03.03.2025\ncolumn 2: Strom")
    assert rows_text("1,2\n3,4\n")[0] == "column 1: 1\ncolumn 2: 2\n\ncolumn 1: 3\ncolumn 2: 4"
    assert rows_text("land,1990,1991\nPeru,1.5,2.5\n")[0] == "land: Peru\n1990: 1.5\n1991: 2.5"


def test_a_cell_of_any_length_is_read() -> None:
    log = "The pump ran. " * 15_000
    text, metadata = rows_text(f'id,log\n4711,"{log}"\n4712,Valve 9 leaks.\n')
    assert (
        text.count("The pump ran.") == 15_000 and text.endswith("\n\nid: 4712\nlog: Valve 9 leaks.") and metadata == {"rows": 2}
    )
    assert all(block.startswith("id: 471") for block in text.split("\n\n"))


def test_a_quote_that_is_never_closed_costs_no_row() -> None:
    text, metadata = rows_text('a,b\n1,x\n2,"open\n3,y\n4,z\n')
    assert text == 'a: 1\nb: x\n\na: 2\nb: "open\n\na: 3\nb: y\n\na: 4\nb: z'
    assert metadata == {PARTIAL: "the quote that line 3 opens is never closed; from there on quotes are letters", "rows": 4}
    assert parsed('a,"two\nlines"\n', ",") == ([["a", "two\nlines"]], {})
    assert parsed('a,5" pipe\u2028long\n', ",") == ([["a", '5" pipe\u2028long']], {})


def test_a_long_column_name_is_written_once() -> None:
    """Not with every row: 64 KB would become 200 MB."""
    began = time.process_time()
    text, _ = rows_text("id," + "very long " * 5000 + "\n" + "1,2\n" * 4000)
    assert text.count("id: 1\nvery long ") == 4000 and len(text) < 600_000 and text.count("very long") < 5000 + 4000 * 9
    assert time.process_time() - began < 5


def test_what_grows_beyond_measure_is_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.ingest.tables.ROOM", 100)
    text, metadata = rows_text("a" * 80 + "," + "b" * 80 + "\n" + "1,2\n" * 500)
    assert len(text) < 16 * 2200 + 500 and metadata["rows"] < 500
    assert metadata[PARTIAL].startswith(f"rows after {metadata['rows']} of 500: ")


def test_a_header_of_many_letters_is_repeated_in_short() -> None:
    header = "Answers to the question how often " + "very " * 10_000
    text, metadata = rows_text(f"{header},{header}?\n" + "1,2\n" * 4000)
    assert text.startswith(f"{header.strip()}\n{header}?\n") and metadata == {"rows": 4000}
    assert text.endswith("Answers to the question … (column 1): 1\nAnswers to the question … (column 2): 2")
    assert len(text) < 8 * len(header + header + "1,2\n" * 4000)
