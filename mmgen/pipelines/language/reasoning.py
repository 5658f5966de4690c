"""What a model thinks before it answers, told apart from the answer as both are written. Knows markers in a text; no model.

Each family marks its reasoning in its own way; which of them a model uses stands in its chat template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmgen.models.lm.detokenizer import Stops

if TYPE_CHECKING:
    from mmgen.models.lm.chat_template import ChatTemplate

MARKERS = (
    ("<think>", "</think>"),  # Qwen, DeepSeek, SmolLM, GLM, Nemotron
    ("[THINK]", "[/THINK]"),  # Mistral
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere
    ("<reasoning>", "</reasoning>"),
    ("◁think▷", "◁/think▷"),  # Kimi
)
CHANNEL, MESSAGE, START = (
    "<|channel|>",
    "<|message|>",
    "<|start|>",
)  # gpt-oss: https://cookbook.openai.com/articles/openai-harmony
ENDS = ("<|end|>", "<|call|>", "<|return|>")
BORDER = re.compile("|".join(map(re.escape, (*ENDS, START))))
HARMONY = (CHANNEL, MESSAGE, START, "<|constrain|>", *ENDS)
SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates let a model think or not."""


def markers(template: str) -> tuple[str, ...]:
    """The markers that a chat template mentions: of gpt-oss all of them, else where reasoning begins and ends; () for none."""
    if CHANNEL in template and MESSAGE in template:
        return HARMONY
    return next((pair for pair in MARKERS if pair[0] in template or pair[1] in template), ())


def switch(template: ChatTemplate, think: bool) -> dict[str, Any]:
    """The template's variable that lets its model think or not, set; {} where there is none."""
    return next(({name: think} for name in SWITCHES if template.reads(name)), {})


class ReasoningParser:
    """One answer as it is written: `push` its pieces, then `flush`; each gives what is new as (reasoning, answer)."""

    def __init__(self, marks: Sequence[str] = (), prompt: str = "") -> None:
        """
        Args:
            marks: as `markers` has them.
            prompt: what the model reads; reasoning is under way already where it ends with the opening marker.
        """
        self.marks = marks
        self.thinking = bool(marks) and prompt.rstrip().endswith(marks[0])
        self._text = ""  # that is not yet sorted
        self._begun = self.thinking  # whether the opening marker cannot come any more
        self._fresh = True  # nothing but spaces since the last marker
        self._header: str | None = None  # of a gpt-oss message that has begun: its channel and recipient

    def push(self, piece: str) -> tuple[str, str]:
        if not self.marks:
            return "", piece
        self._text += piece
        return self._harmony(False) if CHANNEL in self.marks else self._sorted(False)

    def flush(self) -> tuple[str, str]:
        """The rest: nothing comes any more."""
        if not self.marks:
            return "", ""
        return self._harmony(True) if CHANNEL in self.marks else self._sorted(True)

    def _sorted(self, last: bool) -> tuple[str, str]:
        begin, end = self.marks[0], self.marks[1]
        if not self._begun:
            bare = self._text.lstrip()
            if bare.startswith(begin):
                self._text, self.thinking, self._begun = bare.removeprefix(begin), True, True
            elif begin.startswith(bare) and not last:
                return "", ""
            else:
                self._begun, self._fresh = True, False
        if not self.thinking:
            return "", self._trimmed(self._take(len(self._text)))
        thought, closed, rest = self._text.partition(end)
        if closed:
            self.thinking, self._text = False, rest
            thought, self._fresh = self._trimmed(thought.rstrip()), True
            return thought, self._trimmed(self._take(len(rest)))
        certain = thought[: len(thought) - (0 if last else _held(thought, end))].rstrip()  # spaces may stand before the end
        return self._trimmed(self._take(len(certain))), ""

    def _harmony(self, last: bool) -> tuple[str, str]:
        """gpt-oss writes messages: <|channel|>NAME to=WHO<|message|>TEXT<|end|>. Channel final is the answer, a message to a
        function stays in the answer as it was written, the other channels are reasoning."""
        thought, answer = "", ""
        while self._text:
            if self._header is None:
                head, begun, rest = self._text.partition(MESSAGE)
                if not begun:
                    if last and CHANNEL not in head and START not in head:  # it wrote no message at all
                        answer += self._take(len(head))
                    break
                self._header, self._text = head, rest
                if called := self._recipient:
                    answer += f"{CHANNEL}commentary to={called}{MESSAGE}"
            body = BORDER.split(self._text, maxsplit=1)
            closed = len(body) > 1
            held = 0 if closed or last else max(_held(body[0], mark) for mark in (*ENDS, START))
            part = self._take(len(body[0]) - held)
            if self._recipient or "final" in self._header:
                answer += part
            else:
                thought += part
            if not closed:
                break
            self._text, self._header = body[1], None
        return thought, answer

    @property
    def _recipient(self) -> str:
        found = re.search(r"to=([\w.-]+)", self._header or "")
        return found[1] if found else ""

    def _take(self, count: int) -> str:
        """The next letters."""
        part, self._text = self._text[:count], self._text[count:]
        return part

    def _trimmed(self, part: str) -> str:
        """Without the spaces behind a marker."""
        if self._fresh:
            part = part.lstrip()
            self._fresh = not part
        return part


def split(text: str, marks: Sequence[str], prompt: str = "") -> tuple[str, str]:
    """A whole answer: (reasoning, answer)."""
    parser = ReasoningParser(marks, prompt)
    (first, one), (second, two) = parser.push(text), parser.flush()
    return first + second, one + two


def _held(text: str, mark: str) -> int:
    """How many letters of the end may be the beginning of a mark."""
    stops = Stops((mark,))
    stops.push(text)
    return len(stops.held)
