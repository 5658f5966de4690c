"""Which Snowball stemmer a word goes through (snowballstem.org), by its script and the language of its text."""

from __future__ import annotations

import threading
from typing import Any

import regex

STEMMERS = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "porter", "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french", "de": "german", "el": "greek",
    "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali",
    "no": "norwegian", "fa": "persian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "es": "spanish",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""Language -> its algorithm."""
SCRIPTS = {
    "Cyrillic": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tg", "mn", "tt", "ba", "cv"),
    "Arabic": ("ar", "fa", "ur", "ps", "ckb", "ug", "sd"),
    "Devanagari": ("hi", "ne", "mr", "sa"),
    "Greek": ("el",),
    "Armenian": ("hy",),
    "Tamil": ("ta",),
    "Hebrew": ("he", "yi"),
}
"""Script -> the languages that are written in it, the first of which a word of unknown language is taken for."""
LATIN = "Latin"
WITHOUT_STEMMER = "zh ja ko th lo km my bo ka am ti bn as te ml kn gu pa or si dv".split()  # noqa: SIM905
"""Languages of other scripts; all that are named nowhere here are written in Latin letters."""
UNKNOWN = "und"
"""ISO 639-2's code for a language that could not be told."""
_OF_SCRIPT = regex.compile("|".join(rf"(?P<{script}>\p{{{script}}})" for script in (LATIN, *SCRIPTS)))
_SCRIPT_OF = {language: script for script, languages in SCRIPTS.items() for language in languages}
_SCRIPT_OF |= dict.fromkeys([UNKNOWN, "", *WITHOUT_STEMMER], "")
_local = threading.local()


def script_of(word: str) -> str:
    """Of its first letter of a script that has a stemmer; "" for a number or another script."""
    if word.isascii():
        return "" if word.isdigit() else LATIN
    found = _OF_SCRIPT.search(word)
    return str(found.lastgroup) if found else ""


def language_of(word: str, language: str) -> str:
    """The language whose rules a word of a text goes by: an English name in a Russian text is stemmed as English."""
    script = script_of(word)
    if not script or script == _SCRIPT_OF.get(language, LATIN):
        return language
    return "en" if script == LATIN else SCRIPTS[script][0]


def stem(word: str, language: str) -> str:
    """The word's stem; the word itself where its language has no stemmer."""
    algorithm = STEMMERS.get(language)
    if algorithm is None:
        return word
    return str(_stemmer(algorithm).stemWord(word)) or word


def _stemmer(algorithm: str) -> Any:
    """One for each thread: they keep state while they run."""
    made: dict[str, Any] = _local.__dict__.setdefault("made", {})
    if algorithm not in made:
        import Stemmer

        made[algorithm] = Stemmer.Stemmer(algorithm, 0)  # words come from a cache already
    return made[algorithm]
