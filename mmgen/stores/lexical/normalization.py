"""Unicode normalisation of text and folding of letters, the same for what is indexed and what is asked.

NFKC and case folding hold for every text. What makes two spellings of a letter equal depends on its script and, for
Latin letters, on the language: a German reads `ä` and `ae` as one (the stemmer sees to that), to a Swede `ä` is no `a`.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import regex

DOTLESS = frozenset({"tr", "az"})
"""Languages whose capital of `i` is `İ`, and whose `I` is the capital of `ı`."""
LETTERS_OF = {
    **dict.fromkeys(("sv", "fi"), "åäö"),
    **dict.fromkeys(("da", "no"), "åæø"),
    "et": "õäöü",
    "is": "æöðþ",
}  # fmt: skip
"""Letters that are no variants of another in that language: the alphabet's last ones."""
LATIN = {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "ħ": "h", "ŧ": "t", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ŋ": "n"}
"""Letters that Unicode does not decompose, as they are typed without them."""
BEYOND = regex.compile(r"(?V1)[\p{L}--[\p{Latin}\p{Greek}]]")
"""A letter that is neither Latin nor Greek."""
JOINING = regex.compile(r"(?<=\p{Arabic})\u200c")
CLOSED_UP = regex.compile(r"[\u00ad\u200c-\u200f\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
"""Soft hyphens, joiners, directions and variants of glyphs: within a word, and no part of it."""
HAN = regex.compile(r"\p{Han}")
HAN_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
DIGIT = regex.compile(r"(?V1)[\p{Nd}--[0-9]]")
ARABIC_VARIANTS = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ھ": "ه", "ۀ": "ه"}


@cache
def _simplified() -> dict[int, str]:
    """Traditional Chinese characters by their simplified ones, as OpenCC has them: letter by letter, so that a part of a text
    becomes the same as the whole. Several traditional ones may share a simplified one; none has two."""
    import opencc

    letters = [chr(code) for first, last in HAN_BLOCKS for code in range(first, last)]
    simple = opencc.OpenCC("t2s").convert("\n".join(letters)).split("\n")
    return {ord(letter): one for letter, one in zip(letters, simple, strict=True) if letter != one and len(one) == 1}


@cache
def _folded() -> dict[int, str | None]:
    """Letters beyond Latin and Greek: vowel points and stress marks go, spellings of one letter become one.

    Arabic: harakat, Koranic marks and tatweel go; forms of alef, yeh, kaf and heh are one (as Lucene's normalizers have it).
    Hebrew: points go. Cyrillic: stress marks go, and ё is е. Indic: nukta goes, candrabindu is anusvara.
    """
    gone = [0x300, 0x301, 0x640, 0x670, *range(0x591, 0x5C8), *range(0x610, 0x61B), *range(0x64B, 0x660), *range(0x6D6, 0x6EE)]
    table: dict[int, str | None] = {code: None for code in gone if unicodedata.category(chr(code)) in ("Mn", "Lm")}
    table |= {ord(letter): plain for letter, plain in {**ARABIC_VARIANTS, "ё": "е"}.items()}
    for block in range(0x900, 0xD80, 0x80):  # Devanagari to Malayalam keep their signs in the same places
        if unicodedata.name(chr(block + 0x3C), "").endswith("NUKTA"):
            table[block + 0x3C] = None
        if unicodedata.name(chr(block + 1), "").endswith("CANDRABINDU"):
            table[block + 1] = chr(block + 2)
    return table


def normalized(text: str, language: str = "") -> str:
    """NFKC, case folded, digits of every script as 0 to 9, Chinese simplified; offsets into it mean nothing in `text`."""
    if language in DOTLESS:
        text = text.replace("I", "ı").replace("İ", "i")
    if text.isascii():
        return text.lower()
    text = JOINING.sub(" ", text)  # Persian parts its endings by it; elsewhere it is about looks alone
    text = unicodedata.normalize("NFKC", CLOSED_UP.sub("", text)).casefold()
    if HAN.search(text):
        text = text.translate(_simplified())
    return str(DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text))


def folded(word: str, language: str = "") -> str:
    """A normalised word with its spelling variants as one: `impôt` and `impot`, `ёлка` and `елка`."""
    if word.isascii():
        return word
    if not BEYOND.search(word):
        kept = LETTERS_OF.get(language, "")
        return "".join(letter if letter in kept else _bare(letter) for letter in unicodedata.normalize("NFC", word))
    return word.translate(_folded())


@cache
def _bare(letter: str) -> str:
    decomposed = unicodedata.normalize("NFD", letter)
    bare = "".join(part for part in decomposed if unicodedata.category(part) != "Mn")
    return LATIN.get(bare, bare)
