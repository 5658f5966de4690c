"""Languages by their tokens, as translation models have them."""

import pytest
from tokenizers import AddedToken
from tokenizers import Tokenizer as Fast
from tokenizers.models import WordLevel

from mmgen.errors import BadRequest
from mmgen.models.lm.language_codes import LanguageCodes
from mmgen.models.lm.tokenizer import Tokenizer

NLLB = LanguageCodes({"eng_Latn": 10, "deu_Latn": 11, "zho_Hans": 12, "zho_Hant": 13})


@pytest.mark.parametrize(("said", "number"), [("eng_Latn", 10), ("deu", 11), ("zho_Hant", 13)])
def test_a_language_is_found(said: str, number: int) -> None:
    assert NLLB.id(said) == number


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("zho", "the language 'zho' is none of this model's 4: it may be zho_Hans, zho_Hant"),
        ("deu_Latin", r"there are deu_Latn, eng_Latn, zho_Hans, zho_Hant \.\.\. \(did you mean \"deu_Latn\""),
    ],
)
def test_another_is_refused(said: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        NLLB.id(said)
    with pytest.raises(BadRequest, match="this model has no token for the language 'de'"):
        LanguageCodes({}).id("de")


def test_the_code_of_a_text_is_exchanged_wherever_it_stands() -> None:
    assert NLLB.from_language([10, 5, 6, 2], "deu") == [11, 5, 6, 2]
    assert NLLB.from_language([5, 6, 2, 10], "deu") == [5, 6, 2, 11]
    with pytest.raises(BadRequest, match="not told which language it reads; leave out the source language 'deu'"):
        NLLB.from_language([5, 6, 2], "deu")


def test_codes_are_read_off_a_tokenizer() -> None:
    made = Tokenizer.__new__(Tokenizer)
    made.fast = Fast(WordLevel({"a": 0}, unk_token="a"))
    names = ["eng_Latn", "en_XX", "__en__", "__ceb__", "<s>", "<mask>", "[INST]", "<|im_end|>", "__java__", "__unused_1__"]
    made.fast.add_special_tokens([AddedToken(one) for one in names])
    assert list(LanguageCodes.of(made).ids) == ["eng_Latn", "en_XX", "__en__", "__ceb__", "__java__"]
    assert LanguageCodes.of(made).id("ceb") == made.fast.token_to_id("__ceb__")
