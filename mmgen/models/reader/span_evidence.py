"""What a cross-encoder is shown of an answer, so that it says whether the passage supports it: a second look by another model.

After Read + Verify (Hu et al. 2019, arXiv 1808.05759): the answer and the sentences around it are judged together with the
question, without the rest of the passage.
"""

from __future__ import annotations

import math
import re

BEFORE, AFTER = 260, 160  # characters around the answer
STOP = re.compile(r"[.!?]['\"”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9])|\n+")


def evidence(passage: str, start: int, end: int) -> str:
    """The answer `passage[start:end]`, then the whole sentences around it that fit into BEFORE and AFTER characters."""
    first, last = max(0, start - BEFORE), min(len(passage), end + AFTER)
    if first:
        stop = next(STOP.finditer(passage, first, start), None)
        space = passage.find(" ", first, start)
        first = stop.end() if stop else space + 1 if space >= 0 else first
    if last < len(passage):
        stops = [stop.start() + 1 for stop in STOP.finditer(passage, end, last)]
        space = passage.rfind(" ", end, last)
        last = stops[-1] if stops else space if space >= 0 else last
    return f"{passage[start:end]} | {passage[first:last].strip()}"


def log_odds(probability: float) -> float:
    """Of a cross-encoder's score, from -10 to 10."""
    kept = min(1.0 - 5e-5, max(5e-5, probability))
    return math.log(kept / (1.0 - kept))
