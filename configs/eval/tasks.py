"""Small tasks for lm-eval from data that packages carry: currencies of the world (Unicode's CLDR, in the package babel) and
sums of two numbers. Made anew at each run, always the same.
"""

import random
from typing import Any


def _dataset(documents: list[dict[str, Any]]) -> dict[str, Any]:
    from datasets import Dataset

    return {"test": Dataset.from_list(documents)}


def currencies(**_: Any) -> dict[str, Any]:
    """Which of four currencies is a territory's."""
    from babel import Locale
    from babel.numbers import get_currency_name, get_territory_currencies

    lot, names = random.Random(0), Locale("en").territories
    known = {}
    for code in sorted(names):
        if len(code) == 2 and code.isalpha() and len(found := get_territory_currencies(code)) == 1:
            known[names[code]] = get_currency_name(found[0], locale="en")
    others = sorted(set(known.values()))
    documents = []
    for place, currency in sorted(known.items()):
        choices = [currency, *lot.sample([one for one in others if one != currency], 3)]
        lot.shuffle(choices)
        documents.append({"question": f"The currency of {place} is the", "choices": choices, "answer": choices.index(currency)})
    return _dataset(documents)


def sums(**_: Any) -> dict[str, Any]:
    """Sums of two numbers of one or two digits, with three examples before each."""
    lot = random.Random(0)
    shown = "\n".join(f"{a} + {b} = {a + b}" for a, b in ((3, 4), (12, 5), (20, 31)))
    pairs = [(lot.randint(1, 50), lot.randint(1, 49)) for _ in range(200)]
    return _dataset([{"question": f"{shown}\n{a} + {b} =", "answer": str(a + b)} for a, b in pairs])
