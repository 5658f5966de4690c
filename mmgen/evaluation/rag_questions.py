"""Questions with their answers, for measuring how a store answers: one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mmgen.errors import BadRequest, NotFound
from mmgen.models.reader.calibration import same_text

FORM = '{"question": "...", "answers": ["..."], "documents": ["notes.md"]}'


@dataclass(frozen=True)
class RagQuestion:
    """A question, and what is right."""

    id: str
    question: str
    answers: tuple[str, ...]  # reference answers; empty: the documents do not answer it
    documents: tuple[str, ...]  # names or ends of the paths of those that answer it; empty: not told
    passages: tuple[str, ...]  # texts that answer it, whole or a part; empty: not told

    @property
    def answerable(self) -> bool:
        return bool(self.answers or self.documents or self.passages)

    def relevant(self, uri: str, text: str) -> bool:
        """Whether a passage answers it: by the passages that the question names, else by its documents, else as it holds one
        of the answers."""
        if self.passages:
            return any(one in text or text in one for one in self.passages)
        if self.documents:
            return any(_ends(uri, name) for name in self.documents)
        words = f" {same_text(text)} "
        return any(f" {same_text(answer)} " in words for answer in self.answers)


def read(path: Path) -> list[RagQuestion]:
    """Raises NotFound where there is no such file, BadRequest for a line that is no question, with its number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist; give a file of lines such as {FORM}") from None
    except (OSError, UnicodeDecodeError) as why:
        raise BadRequest(f"{path} cannot be read ({why}); give a file of lines such as {FORM}") from None
    questions = [_question(line, f"{path}:{number}", str(number)) for number, line in enumerate(lines, 1) if line.strip()]
    if not questions:
        raise BadRequest(f"{path} holds no question; give lines such as {FORM}")
    ids = [one.id for one in questions]
    if twice := next((one for one in ids if ids.count(one) > 1), None) if len(set(ids)) < len(ids) else None:
        raise BadRequest(f"{path} has two questions of the id {twice!r}; give each its own, or leave ids out")
    return questions


def digest(questions: Sequence[RagQuestion]) -> str:
    """Equal for equal questions."""
    return hashlib.sha256(repr(questions).encode()).hexdigest()


def _question(line: str, where: str, number: str) -> RagQuestion:
    try:
        values = json.loads(line)
    except ValueError as why:
        raise BadRequest(f"{where} is no JSON ({why}); write lines such as {FORM}") from None
    if not isinstance(values, dict) or not isinstance(values.get("question"), str) or not values["question"].strip():
        raise BadRequest(f"{where} has no question; write lines such as {FORM}")
    if "answers" not in values and values.get("is_impossible") is not True:
        raise BadRequest(f'{where} has no answers; write "answers": [] for a question that the documents do not answer')
    if values.get("is_impossible") is True:  # as SQuAD 2.0 has it, whose answers are then plausible and wrong
        return RagQuestion(str(values.get("id", number)), values["question"], (), (), ())
    answers, documents, passages = (_texts(values, name, where) for name in ("answers", "documents", "passages"))
    return RagQuestion(str(values.get("id", number)), values["question"], answers, documents, passages)


def _texts(values: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A list of texts or one text; SQuAD's {"text": [...]} too."""
    given = values.get(name, [])
    given = given.get("text", given) if isinstance(given, dict) else given
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise BadRequest(f"{where}: {name} is no list of texts; write lines such as {FORM}")
    return tuple(one for one in given if one.strip())


def _ends(uri: str, name: str) -> bool:
    parts = PurePath(name).parts
    return bool(parts) and PurePath(uri).parts[-len(parts) :] == parts
