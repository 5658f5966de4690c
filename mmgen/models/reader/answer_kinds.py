"""What kind of answer a question asks for: a price, time, number, weight or distance; and whether a span is one, in words
as well as digits.

English, German, French and Spanish. What is not certain to be of another kind passes: a kind only refuses.
"""

from __future__ import annotations

import re
from typing import Literal

from mmgen.models.reader.answer_words import (
    CENTS,
    CLOCK,
    MEASURED,
    NUMBER,
    OTHERWISE,
    PAID,
    PRICED,
    QUANTITY,
    SPANNED,
    TIME,
    UNCOUNTED,
    UNPAID,
    WEIGHED,
)

Kind = Literal["", "price", "amount", "number", "time", "weight", "distance"]

ASKS: dict[Kind, re.Pattern[str]] = {
    "price": re.compile(
        r"\bhow much (?!time\b|of\b).{0,80}\b(?:cost|pay|paid|charged?|priced?|worth)\b"
        r"|\bwhat (?:do|does|did|will|would|has|have|had) (?!.*\bpay\b).*\bcost\b"
        r"|\bwhat(?:'s|’s| is| are| was| were) the (?:\w+ )?(?:price|cost|fee|fare|admission)\b"
        r"|\b(?:was|wie ?viel) (?:\w+ )?kostete?n?\b|\bwie teuer\b|\bwie ?viel (?:be)?zahl"
        r"|\bwie hoch (?:ist|sind|war|waren) (?:der|die) (?:\w*preis|\w*kosten|\w*gebühr|\w*eintritt|\w*miete)"
        r"|\bcombien (?:\S+ ){0,2}(?:co[uû]t|vaut|val[ai]|pa[iy])"
        r"|\bquel(?:le)? (?:est|était|sont) (?:le |les |la |l[’'])(?:prix|tarif|co[uû]t)"
        r"|\bcuánto (?:\w+ ){0,2}(?:cuest|cost|val[ei]|pag|cobr)"
        r"|\b(?:cuál|qué) (?:es|era|fue) el (?:precio|coste|costo)|\bqué precio",
        re.I | re.S,
    ),
    "amount": re.compile(r"\bhow much (?:is|are|was|were)\b", re.I),
    "number": re.compile(r"\bhow many\b|\bwie ?viele\b|\bcombien d(?:e\b|es\b|['’])|\bcuánt[oa]s\b", re.I),
    "weight": re.compile(
        r"\bhow much (?:do|does|did) .*\bweigh\b|\bhow heavy\b|\bwhat is the weight of\b"
        r"|\bwie schwer (?:ist|sind|war|waren)\b|\b(?:was|wie ?viel) (?:wiegt|wiegen|wog|wogen)\b|\bcombien pès|\bcuánto pes",
        re.I,
    ),
    "distance": re.compile(
        r"\bhow (?:far (?:away )?|tall |deep |wide )(?:is|are|was|were)\b|\bwie (?:weit|tief|breit) (?:ist|sind|war|waren)\b"
        r"|\bà quelle distance\b|\ba qué distancia\b",
        re.I,
    ),
    "time": re.compile(
        r"^\W*(?:(?:since|until|till|from|by) )?when (?:is|was|are|were|do|does|did|has|have|had|will|would|should|can|could|"
        r"must|may|might)\b(?!.*\b(?:what|who|whom|which|where|how)\b)"
        r"|\b(?:in|on|at|since|until|by) (?:what|which) (?:year|date|day|month|century|time(?! zone))\b"
        r"|^\W*(?:(?:seit|bis|ab) )?wann\b|^\W*um wie ?viel uhr\b|\bin welchem (?:jahr|monat|jahrhundert)\b"
        r"|^\W*(?:(?:depuis|jusqu['’]à) )?quand\b|\bà quelle heure\b|\ben quelle année\b"
        r"|^\W*(?:(?:desde|hasta) )?cuándo\b|\b(?:a qué hora|en qué año)\b",
        re.I,
    ),
}


def asked_kind(question: str) -> Kind:
    """The kind of answer that the question asks for; empty where it does not say, or asks for several."""
    kinds = [kind for kind, pattern in ASKS.items() if pattern.search(question)]
    if kinds == ["price", "amount"]:  # "how much was paid for it?"
        return "price"
    return kinds[0] if len(kinds) == 1 else ""


def is_kind(kind: Kind, answer: str, context: str = "") -> bool:
    """Whether the answer may be of that kind.

    Args:
        context: what stands around it: its sentence, or its line of a table. A number by itself is a price where this
            speaks of one.
    """
    if kind in ("price", "amount") and (PAID.search(answer) or UNPAID.search(answer)):
        return True
    if kind == "price":
        number = NUMBER.search(answer) is not None and not MEASURED.search(answer)
        return number and (CENTS.search(answer) or PRICED.search(context)) is not None
    if kind == "amount":
        return bool(NUMBER.search(answer) or QUANTITY.search(answer)) and not CLOCK.search(answer)
    if kind in ("weight", "distance"):
        measured = (WEIGHED if kind == "weight" else SPANNED).search(answer) is not None
        other = (SPANNED if kind == "weight" else WEIGHED).search(answer) or OTHERWISE.search(answer)
        return measured or (NUMBER.search(answer) is not None and other is None)
    if kind == "number":
        return bool(NUMBER.search(answer))
    return kind != "time" or bool(TIME.search(answer) or UNCOUNTED.search(answer))


def is_column(kind: Kind, name: str, value: str) -> bool:
    """Whether a table's column of that name has answers of the kind: what is asked for a price or amount is answered by the
    columns of prices. For other kinds no column is preferred."""
    return kind in ("price", "amount") and PRICED.search(name) is not None and is_kind("price", value, name)
