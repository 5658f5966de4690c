"""The tool calc: arithmetic and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmgen.pipelines.agent import calculator, word_arithmetic
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ToolResult, TurnContext
from mmgen.pipelines.streaming import Event


class CalculatorTool(AssistantTool):
    name = "calc"
    description = "Calculates an arithmetic expression exactly."
    acts = False
    filled_note = "This is how the model read the question; check the expression."
    examples = (
        ("A taxi costs 45 dollars, we are 5 people, how much does each pay?", {"expression": "45 / 5"}),
        ("If I buy 6 books at 12.50 each, what do I pay?", {"expression": "6 * 12.50"}),
        ("A bus drives 320 km in 4 hours, how fast is it?", {"expression": "320 / 4"}),
        ("I save 20 a month, how much is it after 9 months?", {"expression": "20 * 9"}),
        ("What is the interest on 500 at 4 percent for one year?", {"expression": "500 * 4 / 100"}),
    )
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "numbers, + - * / ** and brackets",
                "pattern": r"^[0-9(][0-9. ()]{0,24}[*/+-][0-9+*/(). -]{1,50}$",
            }
        },
        "required": ["expression"],
    }

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        found = word_arithmetic.expression(turn.said)
        return None if found is None else {"expression": found}

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        expression = str(call.arguments.get("expression", ""))
        told = f"{expression} = {calculator.shown(calculator.calculate(expression))}"
        yield ToolResult(told, answer=told, text=told)
