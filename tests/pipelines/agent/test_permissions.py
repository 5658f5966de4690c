from typing import Any

import pytest

from mmgen.errors import BadRequest, Forbidden
from mmgen.pipelines.agent.calculator_tool import CalculatorTool
from mmgen.pipelines.agent.permissions import DEFAULT, TurnLimits, approved_calls, switches


def test_switches() -> None:
    assert switches(None, mcp=False) == list(DEFAULT) and "fetch" not in DEFAULT
    assert switches(None, mcp=True)[-1] == "mcp"
    assert switches("docs, calc,docs", mcp=True) == ["docs", "calc"]
    assert switches(["none"], mcp=True) == [] == switches([], mcp=True)
    with pytest.raises(BadRequest, match=r'no tool "drew" \(did you mean "draw"\?\)'):
        switches("drew", mcp=False)


@pytest.mark.parametrize("wrong", [{"rounds": -1}, {"rounds": 17}, {"timeout": 0}, {"device_s": float("nan")}])
def test_limits(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        TurnLimits(**wrong)


def test_an_approval_is_of_one_call_of_a_tool_that_is_on() -> None:
    tools = {"calc": CalculatorTool()}
    (call,) = approved_calls([{"tool": "calc", "arguments": {"expression": "1 + 1"}}], tools)
    (same,) = approved_calls([{"arguments": {"expression": "1 + 1"}, "tool": "calc"}], tools)
    assert call.id == same.id and not call.asks
    with pytest.raises(Forbidden, match='"fetch" is not among'):
        approved_calls([{"tool": "fetch", "arguments": {}}], tools)
    for wrong in ({}, {"tool": "calc"}, "calc", {"tool": "calc", "arguments": "1"}):
        with pytest.raises(BadRequest, match="is no call"):
            approved_calls([wrong], tools)  # type: ignore[list-item]
