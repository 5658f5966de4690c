import pytest

from mmgen.errors import BadRequest
from mmgen.stores.lexical.language import checked, detected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The old lighthouse keeper wrote letters.", "en"),
        ("Die Krankenkasse zahlt den Beitrag\nam Ende des Monats.", "de"),
        ("食堂从下周起延长晚餐时间。", "zh"),
        ("नदी का पानी साफ़ है।", "hi"),
        ("السوق مفتوح كل جمعة.", "ar"),
        ("", "und"),
        ("17 | 3.4 | 2020", "und"),
        ("def f(x):\n    return x", "und"),
        ("\ud800", "und"),
    ],
)
def test_detected(text: str, code: str) -> None:
    assert detected(text) == code


def test_a_callers_code() -> None:
    assert [checked(code) for code in ("de", "pt-BR", "zh_Hans", " EN ", "nb")] == ["de", "pt", "zh", "en", "no"]
    with pytest.raises(BadRequest, match="language 'German' is no code"):
        checked("German")
