"""Spans as a reader finds them, by words of a tokenizer, against the quotes that may be made of them."""

import pytest

from mmgen.models.reader.span_bounds import whole

FACTS = (
    "The bolt costs 0,31 Euro, the rod 1.204,50 Euro, the lamp $12.75 and the desk $1,299.00. "
    "It weighs 3.75 kg at 4.25 % a year. Scale 1:25,000 holds. We meet on 2024-11-05 at 14:30. "
    "Order AB-7731/4 came from 192.168.4.17 with version 2.10.3. "
    "It fell to -12.5 °C. Call +49 30 901820 now. The file is C:\\data\\list.txt and the site is https://example.org/a-b today."
)
SIGNS = (
    "The balance is -250.40 euros. The bottom lies at −31 m. The margin was -4.2 % in March. "
    "The station is at -12 metres. Profit was (1,250) thousand euros in 2023. "
    "The tolerance is ±0.05 mm, the dose <5 mg a day. Growth was about 3–4 % a year. "
    "It runs on 3.3 V."
)


@pytest.mark.parametrize(
    ("found", "quote"),
    [
        ("31", "0,31 Euro"), ("204", "1.204,50 Euro"), ("75 and", "$12.75 and"), ("299", "$1,299.00"), ("3.75", "3.75 kg"),
        ("25,000", "1:25,000"), ("11", "2024-11-05"), ("30.", "14:30."), ("7731", "AB-7731/4"), ("168.4", "192.168.4.17"),
        ("10", "2.10.3"), ("12.5", "-12.5 °C"), ("901820", "+49 30 901820"), ("list", "C:\\data\\list.txt"),
        ("example", "https://example.org/a-b"),
    ],
)  # fmt: skip
def test_numbers_codes_and_addresses_are_whole(found: str, quote: str) -> None:
    at = FACTS.index(found)
    start, end = whole(FACTS, at, at + len(found))
    assert FACTS[start:end] == quote


@pytest.mark.parametrize(
    ("found", "quote"),
    [
        ("250.40", "-250.40 euros"), ("31", "−31 m"), ("4.2", "-4.2 %"), ("12 metres", "-12 metres"),
        ("1,250", "(1,250) thousand euros"), ("0.05", "±0.05 mm"), ("5 mg", "<5 mg"), ("4 %", "3–4 %"), ("3.3", "3.3 V"),
        ("The balance", "The balance"), ("in March", "in March"),
    ],
)  # fmt: skip
def test_signs_and_units_stay(found: str, quote: str) -> None:
    at = SIGNS.index(found)
    start, end = whole(SIGNS, at, at + len(found))
    assert SIGNS[start:end] == quote


@pytest.mark.parametrize(
    ("text", "found", "question", "quote"),
    [
        ("It took 45 hours.", "45", "How many hours did it take?", "45"),
        ("It took 45 hours.", "45", "How long did it take?", "45 hours"),
        ("It ended on November 5, 2024 in Rome.", "5, 2024", "When?", "November 5, 2024"),
        ("It opened on 5 July 1823.", "1823", "What year?", "1823"),
        ("It opened on 5 July 1823.", "1823", "When?", "5 July 1823"),
        ("He lives at 12 Main Street.", "Main", "Where?", "12 Main Street"),
        ("In the 18th century.", "18", "Which century?", "18th"),
        ("B-29 bombers flew.", "29", "What flew?", "B-29"),
        ("born 5 May 1990 in Rome", "5 May", "When?", "5 May 1990"),
        ("From 1720–1750 it froze.", "1750", "Until when?", "1720–1750"),
        ("東京駅は8時に開く。", "京", "", "東京駅は"),
        ("เปิดเวลา 8 โมง", "ปิด", "", "เปิดเวลา"),
        ("カメラを買う", "メラ", "", "カメラ"),
        ("the x-ray. The end.", "ray", "", "ray"),
    ],
)
def test_neighbours(text: str, found: str, question: str, quote: str) -> None:
    at = text.index(found)
    start, end = whole(text, at, at + len(found), question)
    assert text[start:end] == quote


def test_every_cut_of_a_number_gives_the_number() -> None:
    text = "It made -1,234.56 % more."
    a, b = text.index("-"), text.index("%") + 1
    assert {whole(text, i, j) for i in range(a, b) for j in range(i + 1, b + 1) if text[i:j].strip()} == {(a, b)}


def test_nothing_is_nothing() -> None:
    assert whole("1.5", 1, 1) == (1, 1)


@pytest.mark.parametrize(
    ("text", "found", "quote"),
    [
        ("Day: 6 May\nBerth: Pier 11\n\n1. Return the keys", "Pier", "Pier 11"),
        ("They met in Room 14B.", "Room", "Room 14B"),
        ("The probe was Voyager 2, not the other.", "Voyager", "Voyager 2"),
        ("Garin led Bern 30 riders home.", "Bern", "Bern"),
        ("The ride began in Mannheim 1817.", "Mannheim", "Mannheim"),
        ("The pier 11.", "pier", "pier"),
    ],
)
def test_a_number_that_belongs_to_a_name_stays(text: str, found: str, quote: str) -> None:
    at = text.index(found)
    start, end = whole(text, at, at + len(found))
    assert text[start:end] == quote
