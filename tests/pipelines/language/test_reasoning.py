"""Reasoning and answer are told apart whatever the borders of the pieces are."""

import random

import pytest

from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.pipelines.language.reasoning import HARMONY, ReasoningParser, markers, split, switch

THINK, BRACKETS = ("<think>", "</think>"), ("[THINK]", "[/THINK]")
CALL = '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Bern"}'
CASES = [
    (THINK, "", "<think>\nHm, 2 < 3.\n</think>\n\nYes.", ("Hm, 2 < 3.", "Yes.")),
    (THINK, "", "\n<think></think>Yes.\n", ("", "Yes.\n")),
    (THINK, "", "Yes.</think> <think>", ("", "Yes.</think> <think>")),  # an answer may speak of it
    (THINK, "", "<thin air>", ("", "<thin air>")),
    (THINK, "", "<think> on and on </thi", ("on and on </thi", "")),  # cut by max_tokens
    (THINK, "", "", ("", "")),
    (THINK, "<|assistant|><think>\n", "So.\n</think>Yes.", ("So.", "Yes.")),  # the template begins it
    (THINK, "<think>\n\n</think>\n\n", "Yes.", ("", "Yes.")),
    (BRACKETS, "", "[THINK]a[/THINK]b", ("a", "b")),
    ((), "", "<think>a</think>b", ("", "<think>a</think>b")),
    (HARMONY, "", "<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|>Yes.", ("So.", "Yes.")),
    (HARMONY, "", "<|channel|>final<|message|>Yes <|", ("", "Yes <|")),
    (HARMONY, "", "Yes.", ("", "Yes.")),  # it kept to no form
    (HARMONY, "", "<|channel|>analysis<|message|>So.<|end|><|start|>assistant" + CALL,
     ("So.", '<|channel|>commentary to=functions.weather<|message|>{"city": "Bern"}')),
    (HARMONY, "", "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
     ("", "<|channel|>commentary to=functions.f<|message|>{}")),
]  # fmt: skip


@pytest.mark.parametrize(("marks", "prompt", "text", "expected"), CASES)
def test_apart(marks: tuple[str, ...], prompt: str, text: str, expected: tuple[str, str]) -> None:
    assert split(text, marks, prompt) == expected
    lot = random.Random(text)
    for _ in range(8):
        parser, parts, rest = ReasoningParser(marks, prompt), list[tuple[str, str]](), text
        while rest:
            count = lot.randint(1, 5)
            parts.append(parser.push(rest[:count]))
            rest = rest[count:]
        parts.append(parser.flush())
        assert ("".join(thought for thought, _ in parts), "".join(answer for _, answer in parts)) == expected


def test_what_a_template_says() -> None:
    assert markers("{{ '<think>' }}") == THINK and markers("{% if '</think>' in x %}") == THINK
    assert markers("[THINK]") == BRACKETS and markers("<|channel|>analysis<|message|>") == HARMONY
    assert markers("<|user|>") == ()
    assert switch(ChatTemplate("{% if enable_thinking %}x{% endif %}", {}), False) == {"enable_thinking": False}
    assert switch(ChatTemplate("{{ thinking }}", {}), True) == {"thinking": True}
    assert switch(ChatTemplate("{{ messages }}", {}), True) == {}
