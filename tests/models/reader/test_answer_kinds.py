import pytest

from mmgen.models.reader.answer_kinds import Kind, asked_kind, is_column, is_kind


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much did the hygrometer cost?", "price"),
        ("What is the price of a hook?", "price"),
        ("What did the bishop pay for it?", ""),  # a horse
        ("How much time must pass before it pays?", ""),
        ("How much is the loss?", "amount"),
        ("How much was paid for it?", "price"),
        ("How many rooms are there?", "number"),
        ("When was it built?", "time"),
        ("When the lid is open, what happens?", ""),
        ("In what time zone is it?", ""),
        ("How much does the K3 weigh?", "weight"),
        ("How far is the cable car?", "distance"),
        ("How far did they get?", ""),
        ("Wie schwer ist der Koffer?", "weight"),
        ("Was kostet Dübel 8 mm?", "price"),
        ("Wie viele Bahnen gibt es?", "number"),
        ("Combien coûte l'entrée ?", "price"),
        ("À quelle heure ouvre le musée ?", "time"),
        ("¿Cuánto cuesta la cena?", "price"),
        ("¿Cuándo se abre?", "time"),
        ("Was ist das?", ""),
    ],
)
def test_what_kind_is_asked_for(question: str, kind: Kind) -> None:
    assert asked_kind(question) == kind


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("price", ("free", "four crowns", "gratis", "kostenlos", "0,31", "60USD", "cheap"), ("Halle 7", "eleven", "at noon")),
        ("time", ("midnight", "eleven", "1911", "the 1860s", "à midi", "winter", "if it rains"), ("Trieste", "doce camas")),
        ("number", ("eight", "acht", "treize", "doce", "4,870", "no"), ("Rosa Lindo", "rooms")),
        ("amount", ("80 %", "a third", "slightly", "free"), ("beside the stairs", "7:00 to 10:30")),
        ("weight", ("3.75 kg", "twelve", "a feather's weight", "two stone"), ("10^6 per millilitre", "1.5 km", "the shed")),
        ("distance", ("1.5 km", "two hours' walk", "not far", "half a mile"), ("450 kg", "9 francs", "the church")),
        ("", ("Rosa Lindo",), ()),
    ],
)
def test_answers_in_words_are_of_the_kind_and_others_are_not(kind: Kind, right: tuple[str], wrong: tuple[str]) -> None:
    assert [answer for answer in right if not is_kind(kind, answer)] == []
    assert [answer for answer in wrong if is_kind(kind, answer)] == []


def test_a_number_by_itself_is_a_price_where_one_is_spoken_of() -> None:
    assert is_kind("price", "12", "Price: 12") and not is_kind("price", "12", "Hall: 12")
    assert is_column("price", "Preis", "12") and not is_column("price", "Lager", "Halle 7")
    assert not is_column("time", "Price", "12")
