"""What a prompt's marks say: weights, BREAK and `<lora:NAME:SCALE>`, as AUTOMATIC1111's web UI reads them. Torch-free.

`(word)` x 1.1, `[word]` / 1.1, `(word:1.3)` x 1.3; within each other they multiply. A mark behind a backslash is a letter. One
bracket that never closes holds to the end, as it does there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.errors import BadRequest

ROUND, SQUARE = 1.1, 1 / 1.1
DEEPEST = 32  # brackets within each other
PAIRS = {")": "(", "]": "["}
STRONGEST = 20.0
"""Weights beyond it, either way, are taken for a slip."""
MARK = re.compile(
    r"\\(?P<letter>[()\[\]\\:<])|(?P<open>[(\[])|:\s*(?P<weight>[-+]?(?:[\d.]+|nan|inf(?:inity)?))\s*\)|(?P<close>[)\]])"
    r"|\b(?P<break>BREAK)\b|(?P<text>[^\\()\[\]:B]+|.)",
    re.DOTALL | re.IGNORECASE,
)
EXTRA = re.compile(r"<(lora|lyco|hypernet):([^:<>]*)((?::[^:<>]*)*)>", re.IGNORECASE)
EDITED = re.compile(r"(?<!\\)\[(?:(?:[^\[\]:]*:)?[^\[\]:]*:\s*[\d.]+\s*|[^\[\]()|]*\|[^\[\]]*)\]")
"""`[from:to:when]` and `[one|other]`, which change the prompt between steps."""


@dataclass(frozen=True)
class WeightedText:
    """A piece of a prompt."""

    text: str  # without marks
    weight: float = 1.0
    window: int = 0  # how many BREAKs stand before it


@dataclass
class _Piece:
    text: str
    window: int
    weight: float = 1.0


@dataclass(frozen=True)
class NamedLora:
    """A LoRA that a prompt names."""

    name: str
    scale: float


def parse(prompt: str) -> list[WeightedText]:
    """The pieces of a prompt, in their order; in time linear in its length.

    Raises BadRequest for a weight that is no number or out of all proportion, for brackets nested too deeply, and for what
    would change the prompt between steps.
    """
    if match := EDITED.search(prompt):
        told = f"{_short(match[0])} would change the prompt between steps, which is not done here"
        raise BadRequest(f"{told}; write one of them, or \\[ for a bracket")
    pieces: list[_Piece] = []
    opened: list[tuple[str, int]] = []  # bracket, and how many pieces stand before it
    window, joined = 0, False  # joined: what comes belongs to the last piece
    for match in MARK.finditer(prompt):
        kind = str(match.lastgroup)
        said = match[kind]
        if kind == "open":
            opened.append((said, len(pieces)))
            if len(opened) > DEEPEST:
                at = match.start()
                raise BadRequest(f"brackets are nested more than {DEEPEST} deep at character {at}; close them, or write \\(")
        elif kind == "weight" and opened and opened[-1][0] == "(":
            _scale(pieces[opened.pop()[1] :], _number(said, prompt))
        elif kind == "close" and opened and opened[-1][0] == PAIRS[said]:
            _scale(pieces[opened.pop()[1] :], ROUND if said == ")" else SQUARE)
        elif kind == "break" and said == "BREAK":
            window += 1
        else:
            text = said if kind in ("letter", "text") else match[0]
            if joined:
                pieces[-1].text += text
            else:
                pieces.append(_Piece(text, window))
            joined = True
            continue
        joined = False
    for bracket, place in opened:
        _scale(pieces[place:], ROUND if bracket == "(" else SQUARE)
    return [WeightedText(one.text, one.weight, one.window) for one in pieces]


def plain(prompt: str) -> str:
    """The words alone."""
    return re.sub(r"\s+", " ", " ".join(one.text for one in parse(prompt))).strip()


def weighted(prompt: str) -> bool:
    """Whether it says something that only weights or windows can do; brackets alone may be words."""
    return any(one.window or one.weight not in _of_brackets() for one in parse(prompt))


def loras(prompt: str) -> tuple[str, list[NamedLora]]:
    """The prompt without `<lora:NAME>` and `<lora:NAME:SCALE>`, and those. Raises BadRequest for what else stands there."""
    found: list[NamedLora] = []

    def take(match: re.Match[str]) -> str:
        kind, name, values = match[1].lower(), match[2].strip(), [one.strip() for one in match[3].split(":")[1:]]
        if kind == "hypernet":
            raise BadRequest(f"{_short(match[0])}: hypernetworks are not read; leave it out")
        if len(values) > 1 or not name:
            raise BadRequest(f"{_short(match[0])} is not read; write <{kind}:NAME:SCALE>, with one scale for the whole file")
        found.append(NamedLora(name, _number(values[0], match[0]) if values else 1.0))
        return ""

    rest = EXTRA.sub(take, prompt)
    return (re.sub(r"[ \t]{2,}", " ", rest).strip() if found else rest), found


def tag(name: str, scale: float) -> str:
    return f"<lora:{name}:{scale:g}>"


def _of_brackets() -> Sequence[float]:
    return [ROUND**n for n in range(-8, 9)]


def _scale(pieces: Sequence[_Piece], factor: float) -> None:
    for piece in pieces:
        piece.weight *= factor
        if abs(piece.weight) > STRONGEST:
            told = f"{_short(piece.text)!r} gets weight {piece.weight:.3g}"
            raise BadRequest(f"{told}; use {-STRONGEST:g} to {STRONGEST:g}, most often 0.5 to 1.5")


def _number(said: str, where: str) -> float:
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{said!r} in {_short(where)} is no number; write one such as 1.2")
    return value


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
