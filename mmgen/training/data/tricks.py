"""Unanswerable questions that were written by hand, as SQuAD 2.0's workers wrote them: JSON lines that name passages by hashes.

A line has `passage`, the first digits of the SHA-256 of a passage, `question`, and either `plausible`, the words of the passage
that seem to answer it and do not, or `right`, those that do: questions of the same style that can be answered, so that style
alone tells nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmgen.errors import BadRequest
from mmgen.training.data.qa_data import Question

DIGITS = 16


def digest(passage: str) -> str:
    """By which a line names its passage."""
    return hashlib.sha256(passage.encode()).hexdigest()[:DIGITS]


def read_tricks(path: Path, questions: Sequence[Question]) -> list[Question]:
    """Those whose passages are these questions'. Unanswerable ones have `kind` "written", and what is plausible as the answer.

    Raises BadRequest for words that do not stand in the passage.
    """
    by_hash = {digest(q.context): q for q in questions}
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if (of := by_hash.get(row["passage"])) is None:
            continue
        words, kind = (row["right"], "") if "right" in row else (row["plausible"], "written")
        start = of.context.find(words)
        if start < 0:
            raise BadRequest(f"{path}, line {number}: {words!r} does not stand in the passage; write it as it does")
        found.append(replace(of, text=row["question"], answers=[words], starts=[start], kind=kind))
    return found
