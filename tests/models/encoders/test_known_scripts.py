from functools import cache

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from mmgen import hub
from mmgen.models.encoders.known_scripts import knows


@cache
def minilm() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(hub.resolve("embedded:minilm") / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.mark.parametrize(
    "text",
    [
        "志愿者",
        "午前六時から利用できます",
        "ค่าธรรมเนียม",
        "पुस्तकालय सोमवार को",
        "المكتبة مغلقة",
        "библиотека закрыта",
        "도서관은 닫습니다",
        "Η βιβλιοθήκη",
        "What is 露天風呂と臨時列車のご案内",
    ],
)
def test_an_english_vocabulary_knows_no_other_script(text: str) -> None:
    assert not knows(minilm(), text)


@pytest.mark.parametrize("text", ["The lamp.", "Die Bücherei schließt", "Who is 王?", "", "…", "naïve café"])
def test_latin_letters_are_known(text: str) -> None:
    assert knows(minilm(), text)


def test_a_vocabulary_of_bytes() -> None:
    letters = sorted(ByteLevel.alphabet())
    bytes_alone = Tokenizer(BPE({letter: n for n, letter in enumerate(letters)}, []))
    bytes_alone.pre_tokenizer = ByteLevel(add_prefix_space=False)
    assert not knows(bytes_alone, "志愿者") and not knows(bytes_alone, "библиотека")
    first, second, third = ByteLevel(add_prefix_space=False).pre_tokenize_str("志")[0][0]
    vocabulary = {piece: n for n, piece in enumerate([*letters, first + second, first + second + third])}
    words = Tokenizer(BPE(vocabulary, [(first, second), (first + second, third)]))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    assert knows(words, "志志志")
