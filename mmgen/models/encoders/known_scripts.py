"""Whether a tokenizer knows the script of a text: where it does not, a model's vector of the text says nothing."""

from __future__ import annotations

import unicodedata
from typing import Any

MOST_UNKNOWN = 0.25
"""Share of the letters that may be the unknown token's."""
LEAST_LETTERS = {True: 0.8, False: 1.3}
"""Letters a token, on the average: for ideographs and kana, of which each is a word's part, and for alphabets. A vocabulary
without words of a script spells every one of them."""
UNKNOWN = ("[UNK]", "<unk>", "<|unk|>")
IDEOGRAPHS = ("CJK", "HIRAGANA", "KATAKANA")


def knows(tokenizer: Any, text: str) -> bool:
    """Of a `tokenizers.Tokenizer` that neither cuts nor pads. Texts mostly in Latin letters are taken for known."""
    if text.isascii():
        return True
    names = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    foreign = [name for name in names if not name.startswith("LATIN")]
    if 2 * len(foreign) <= len(names):
        return True
    tokens = tokenizer.encode(text, add_special_tokens=False)
    spans = zip(tokens.offsets, tokens.tokens, strict=True)
    unknown = sum(_letters(text[start:end]) for (start, end), token in spans if token in UNKNOWN)
    ideographs = 2 * sum(name.startswith(IDEOGRAPHS) for name in foreign) > len(foreign)
    return unknown <= MOST_UNKNOWN * len(names) and len(names) >= LEAST_LETTERS[ideographs] * len(tokens.tokens)


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)
