"""Numbers as cells show them."""

import pytest

from mmgen.ingest.formats.number_formats import general, sections, shown


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (1234.5, "#,##0.00", "1,234.50"),
        (1234.5, "#,##0.0#", "1,234.5"),
        (0.256, "0.0%", "25.6%"),
        (-1234.5, '#,##0.00 "EUR";[Red]-#,##0.00 "EUR"', "-1,234.50 EUR"),
        (-5, "0.00", "-5.00"),
        (-5, "0;(0)", "(5)"),
        (-0.001, "0.0", "0.0"),
        (1e6, '0.0,,"M"', "1.0M"),
        (12345, "0.00E+00", "1.23E+04"),
        (5551234, "000-0000", "555-1234"),
        (7, "00000", "00007"),
        (0, '0;-0;"none"', "none"),
        (5, ";;;", ""),
        (3, '[>2]"many";0', "many"),
        (1, '[>2]"many";0', "1"),
        (1.005, "0.00", "1.01"),
        (0.5, "#.##", ".5"),
        (0.5, "# ?/?", "0.5"),
        (1234.5, "_-* #,##0.00\\ [$€-407]_-", "1,234.50 €"),
        (12, 'General "kg"', "12 kg"),
        (1e20, "0.00", "1E+20"),
        (45415.5, "dd.mm.yyyy", "03.05.2024"),
        (45415.5, "DD.MM.YYYY hh:mm", "03.05.2024 12:00"),
        (45415.5, "dddd, d mmmm yy", "Friday, 3 May 24"),
        (45415, "[$-407]d. mmmm yyyy", "3. May 2024"),
        (0.5, "h:mm AM/PM", "12:00 PM"),
        (1.75, "[h]:mm", "42:00"),
        (0.0001, "mm:ss.0", "00:08.6"),
        (45415.99999999, "hh:mm:ss", "00:00:00"),
        (59.0, "d.m.yyyy", "28.2.1900"),
        (-1, "d.m.yyyy", "-1"),
    ],
)
def test_shown(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_days_since_1904() -> None:
    assert shown(43953, "yyyy-mm-dd", since_1904=True) == "2024-05-03"


def test_general() -> None:
    assert list(map(general, (0.1 + 0.2, 1 / 3, 12.0, 1e15, 1.5e-9))) == ["0.3", "0.3333333333", "12", "1E+15", "1.5E-09"]
    assert sections('0;"a;b";\\;') == ("0", '"a;b"', "\\;")
