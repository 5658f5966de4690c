"""What answers are rewarded for: rules that can be checked, a reward model, or functions of one's own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.reader.answer_match import f1
from mmgen.registry import import_target

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

Kind = TypeVar("Kind", dict[str, Any], list[str])
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
GROUNDED = "mmgen.pipelines.rag.groundedness:rewards"
"""Judges claims by the passages; in a room beside this one, and imported where a recipe asks for it."""


@dataclass(frozen=True)
class RewardedAnswer:
    """An answer as a reward sees it."""

    messages: Sequence[Mapping[str, str]]  # up to the question
    text: str  # the answer
    row: Mapping[str, Any]  # of the data, with whatever else stands in it
    ended: bool = True  # False: it was cut off at the most tokens


RewardFunction = Callable[[Sequence[RewardedAnswer]], Sequence[float]]


class RewardConfig(Config):
    """An entry of a recipe's `rewards`."""

    kind: Literal["regex", "json", "fields", "number", "f1", "length", "model", "grounded", "python"]
    weight: float = 1.0
    pattern: str = ""  # regex: of the whole answer
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")  # json
    key: str = ""  # where in the row the right one stands: "answer" of number and fields, "answers" of f1
    characters: int = Field(default=200, ge=1)  # length: of an answer that loses nothing; longer ones lose up to 1
    model: str = ""  # the OUT/model of `mmgen train reward`
    target: str = ""  # python: "module:function", of answers -> a number for each

    @property
    def name(self) -> str:
        """In reports."""
        return {"model": "reward model", "python": self.target.rpartition(":")[2]}.get(self.kind, self.kind)


class Rewards:
    """The recipe's rewards together."""

    def __init__(self, entries: Sequence[RewardConfig], rt: Runtime) -> None:
        """`rt`: whose engine runs reward models and readers. Raises BadRequest for an entry that cannot be used."""
        if not entries:
            raise BadRequest("a recipe of reinforcement learning needs rewards; name one, such as {kind: number}")
        self.entries, self.functions = list(entries), [_function(entry, rt) for entry in entries]

    def __call__(self, answers: Sequence[RewardedAnswer]) -> tuple[list[float], dict[str, list[float]]]:
        """Each answer's reward in all, and each entry's part. Raises BadRequest where one is no finite number."""
        parts: dict[str, list[float]] = {}
        for entry, function in zip(self.entries, self.functions, strict=True):
            found = _numbers(function(answers), entry)
            if len(found) != len(answers) or not all(map(math.isfinite, found)):
                odd = next((one for one in found if not math.isfinite(one)), f"{len(found)} numbers for {len(answers)} answers")
                raise BadRequest(f"the reward {entry.name} gave {odd}; it should give a finite number for every answer")
            parts[entry.name] = found
        weights = [entry.weight for entry in self.entries]
        totals = [
            sum(weight * one for weight, one in zip(weights, row, strict=True)) for row in zip(*parts.values(), strict=True)
        ]
        return totals, parts


def _numbers(found: Any, entry: RewardConfig) -> list[float]:
    """What a function gave, which may be one's own."""
    try:
        return [float(one) for one in found]
    except (TypeError, ValueError):
        told = repr(found)[:60]
        raise BadRequest(f"the reward {entry.name} gave {told}; it should give a finite number for every answer") from None


def _function(entry: RewardConfig, rt: Runtime) -> RewardFunction:
    if entry.kind == "regex":
        return _matches(entry.pattern)
    if entry.kind == "json":
        return _valid_json(entry.schema_)
    if entry.kind == "number":
        return lambda answers: [float(_right_number(one, entry.key or "answer")) for one in answers]
    if entry.kind == "fields":
        return lambda answers: [_right_fields(one.text, _expected(one, entry, "answer", dict)) for one in answers]
    if entry.kind == "f1":
        return lambda answers: [f1(one.text, _expected(one, entry, "answers", list)) for one in answers]
    if entry.kind == "length":
        return lambda answers: [-min(1.0, max(0.0, len(one.text) / entry.characters - 1)) for one in answers]
    if entry.kind == "model":
        return _by_model(entry.model, rt)
    target = GROUNDED if entry.kind == "grounded" else entry.target
    function: RewardFunction = import_target(target, "a reward")
    return function


def _matches(pattern: str) -> RewardFunction:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as why:
        raise BadRequest(f"the reward's pattern {pattern!r} is no regular expression ({why})") from None
    return lambda answers: [float(compiled.fullmatch(one.text.strip()) is not None) for one in answers]


def _valid_json(schema: Mapping[str, Any]) -> RewardFunction:
    """1 for JSON that the schema allows, a half for other JSON, else 0."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as why:
        raise BadRequest(f"the reward's schema is none ({why.message})") from None
    validator = Draft202012Validator(schema)

    def rewards(answers: Sequence[RewardedAnswer]) -> list[float]:
        found = []
        for one in answers:
            try:
                found.append(1.0 if validator.is_valid(json.loads(one.text)) else 0.5)
            except (ValueError, RecursionError):
                found.append(0.0)
        return found

    return rewards


def _expected(answer: RewardedAnswer, entry: RewardConfig, key: str, kind: type[Kind]) -> Kind:
    """What the row has for the reward to compare with."""
    found = answer.row.get(entry.key or key)
    if not isinstance(found, kind):
        told = {dict: "an object", list: "a list of texts"}[kind]
        raise BadRequest(f"a row's {entry.key or key} is {found!r}; the reward {entry.kind} compares with {told}")
    return found


def _right_fields(text: str, expected: Mapping[str, Any]) -> float:
    """0 for what is no JSON object; else a fifth, and the rest by the share of keys, expected or written, that are right."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return 0.0
    if not isinstance(found, dict):
        return 0.0
    right = sum(bool(key in found and found[key] == value) for key, value in expected.items())
    return 0.2 + 0.8 * right / max(1, len(set(expected) | set(found)))


def _right_number(answer: RewardedAnswer, key: str) -> bool:
    """Whether the last number in the answer is the row's."""
    if key not in answer.row:
        raise BadRequest(f"a row has no {key!r}, which the reward number compares with; give it, or another key")
    found = NUMBER.findall(answer.text)
    try:
        return bool(found) and Decimal(found[-1].replace(",", "")) == Decimal(str(answer.row[key]).replace(",", ""))
    except InvalidOperation:
        raise BadRequest(f"a row's {key} is {answer.row[key]!r}; the reward number compares numbers") from None


def _by_model(reference: str, rt: Runtime) -> RewardFunction:
    client = rt.reward_model(reference)

    def rewards(answers: Sequence[RewardedAnswer]) -> list[float]:
        talks = [[*one.messages, {"role": "assistant", "content": one.text}] for one in answers]
        return [float(one) for one in client.totals(client.score(talks))]

    return rewards
