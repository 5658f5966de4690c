from mmgen.models.reader.antonyms import ANTONYMS


def test_opposites_go_both_ways() -> None:
    assert "last" in ANTONYMS["first"] and "first" in ANTONYMS["last"]
    assert all(word in ANTONYMS[other] for word, others in ANTONYMS.items() for other in others)
    assert all(word.islower() and word not in others for word, others in ANTONYMS.items())
