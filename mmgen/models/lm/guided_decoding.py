"""Which tokens may come next so that the text matches a regular expression or a JSON schema. Knows tokens; not probabilities.

The automaton is llguidance's, which walks the bytes of the whole vocabulary as one tree; see its README for what it takes of
JSON schema, and https://docs.rs/regex for the syntax of expressions. An expression has to match the whole answer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class Constraint:
    """How far a text has come in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary

    def mask(self) -> Tensor:
        """(V,) bool: what may come next. Raises BadRequest where that is nothing."""
        known = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)[: self._vocabulary] > 0
        allowed = F.pad(known, (0, self._vocabulary - len(known)))  # a model can have more rows than its tokenizer has tokens
        if "NoExtension" in self._matcher.get_error() or not bool(allowed.any()):
            raise BadRequest("no token of this model's vocabulary can continue under the constraint; loosen it")
        if self._matcher.is_error():
            raise BadRequest(f"the constraint cannot be kept: {_line(self._matcher.get_error())}; simplify it")
        return allowed

    def accept(self, token: int) -> None:
        """The token that came: one of the mask's."""
        if not self._matcher.consume_token(token):
            raise BadRequest(f"token {token} breaks the constraint: {_line(self._matcher.get_error())}")

    @property
    def complete(self) -> bool:
        """The text matches and nothing can be added: it ends without an end token."""
        return bool(self._matcher.is_stopped())

    def copy(self) -> Constraint:
        return Constraint(self._matcher.deep_copy(), self._vocabulary)


class GrammarCompiler:
    """Constraints for the vocabulary of one tokenizer (as `tokenizer.json` has it) and a model that writes `vocabulary` ids."""

    def __init__(self, tokenizer: str, vocabulary: int, ends: Collection[int]) -> None:
        self.tokenizer, self.vocabulary, self.ends = tokenizer, vocabulary, frozenset(ends)

    def regex(self, expression: str) -> Constraint:
        """Raises BadRequest for what is no regular expression."""
        from llguidance import LLMatcher

        return self._constraint(LLMatcher.grammar_from_regex(expression), f"regex {_shown(expression)}")

    def json_schema(self, schema: str | Mapping[str, Any]) -> Constraint:
        """Raises BadRequest for what is no JSON schema, or has something in it that cannot be kept."""
        from llguidance import LLMatcher

        text = schema if isinstance(schema, str) else json.dumps(schema)
        what = f"JSON schema {_shown(text)}"
        try:
            parsed = json.loads(text)
        except ValueError as why:
            raise BadRequest(f"{what} is no JSON ({why}); check its brackets and quotes") from None
        except RecursionError:
            raise BadRequest(f"{what} nests too deep; write it flatter") from None
        if not isinstance(parsed, dict):
            raise BadRequest(f'{what} is no object; give one such as {{"type": "object"}}')
        # with free white space a weak model can write spaces for ever
        return self._constraint(LLMatcher.grammar_from_json_schema(text, defaults={"whitespace_flexible": False}), what)

    def _constraint(self, grammar: str, what: str) -> Constraint:
        from llguidance import LLMatcher

        wrong, told = LLMatcher.validate_grammar_with_warnings(grammar, self._tree)
        if wrong:
            raise BadRequest(f"{what} cannot be used: {_line(told[0])}")
        return Constraint(LLMatcher(self._tree, grammar), self.vocabulary)

    @cached_property
    def _tree(self) -> LLTokenizer:
        """The vocabulary's bytes; about a second for 150,000 tokens."""
        from llguidance import LLTokenizer

        if not self.ends:
            raise BadRequest("this model has no token that ends a text, which a constraint needs; take another model")
        try:
            return LLTokenizer(self.tokenizer, eos_token=sorted(self.ends))
        except ValueError as why:  # neither byte-level nor sentencepiece
            raise BadRequest(f"this model's tokenizer cannot be constrained ({_line(str(why))}); take another model") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _line(message: str) -> str:
    """The gist of an error that spans lines."""
    lines = [line.strip() for line in message.splitlines() if line.strip(" ^|")]
    last = next((line for line in lines if line.startswith("error:")), lines[0] if lines else "no reason given")
    return last.removeprefix("error:").strip()
