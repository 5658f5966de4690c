"""Generated text as HTML, each token coloured by its probability. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import exp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmgen.pipelines.language.text_pipeline import Completion, Delta, Token


@dataclass
class TokenSheet:
    """Generated text with its tokens' probabilities, updated while it streams."""

    prompt: str
    text: str = ""
    spans: list[str] = field(default_factory=list)
    likelihoods: list[float] = field(default_factory=list)  # log-probabilities

    def take(self, delta: Delta) -> None:
        self.text += delta.text
        self.spans.append(spans(delta.text, delta.tokens))
        self.likelihoods += [token.logprob or 0.0 for token in delta.tokens]

    def html(self, note: str, busy: bool) -> str:
        """`note`: a line below, plain text."""
        said = f"<span class='prompt'>{escape(self.prompt)}</span>{''.join(self.spans)}"
        return f"<div class='written{' busy' * busy}'><p>{said}</p></div><p class='facts'>{escape(note)}</p>"

    def facts(self, done: Completion) -> str:
        """Token count, time, seed and the geometric mean of the tokens' probabilities."""
        seconds = max(1e-3, (done.timings["write"] + done.timings["first"]) / 1000)
        parts = [f"{done.usage.written} tokens in {seconds:.1f} s"]
        if self.likelihoods:
            parts.append(f"{exp(sum(self.likelihoods) / len(self.likelihoods)):.0%} a token")
        return " · ".join([*parts, f"seed {done.seed}"])


def spans(text: str, tokens: Sequence[Token]) -> str:
    """One span per token; one for all of them where a character spans several tokens."""
    if not tokens:
        return escape(text)
    if "".join(token.text for token in tokens) == text:
        return "".join(_span(token.text, token.logprob or 0.0, _others(token)) for token in tokens)
    return _span(text, sum(token.logprob or 0.0 for token in tokens), "") if text else ""


def _span(text: str, logprob: float, others: str) -> str:
    told = escape(f"{_shown(text)} {exp(logprob):.1%}{others}")
    return f"<span class='token' tabindex='-1' data-told='{told}' style='--p:{exp(logprob):.3f}'>{escape(text)}</span>"


def _others(token: Token) -> str:
    """The alternatives to a token."""
    others = [f"{_shown(one.text)} {exp(one.logprob or 0.0):.1%}" for one in token.top if one.text != token.text]
    return f" · instead of {', '.join(others)}" if others else ""


def _shown(text: str) -> str:
    return "“" + text.replace("\n", "⏎") + "”"
