"""What a turn may do: which tools, which of them without asking, how many calls, how long, and how much of the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmgen.errors import BadRequest, Forbidden, nearest
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool

SWITCHES = ("docs", "images", "draw", "calc", "fetch", "mcp")
DEFAULT = ("docs", "images", "draw", "calc")
MOST_ROUNDS = 16
SCOPES = {"docs": "stores", "images": "stores", "draw": "images", "calc": "chat", "fetch": "chat", "mcp": "chat"}
"""What a key must be for, beside chat, to switch a tool on."""


@dataclass(frozen=True)
class TurnLimits:
    """Raises BadRequest for a value out of its range."""

    rounds: int = 4  # calls
    timeout: float | None = None  # seconds
    device_s: float | None = None  # seconds of the device

    def __post_init__(self) -> None:
        if isinstance(self.rounds, bool) or not 0 <= self.rounds <= MOST_ROUNDS:
            raise BadRequest(f"rounds is {self.rounds}; it can be 0 to {MOST_ROUNDS} calls")
        for name in ("timeout", "device_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e9:
                raise BadRequest(f"{name} is {value}; it can be above 0, in seconds")


def switches(given: str | Sequence[str] | None, mcp: bool) -> list[str]:
    """Checked names; None: the usual ones, and those of MCP servers where there are some. A text holds them between commas."""
    if given is None:
        return [*DEFAULT, *(["mcp"] if mcp else [])]
    parts = [given] if isinstance(given, str) else list(given)
    names = [name for part in parts for one in str(part).split(",") if (name := one.strip())]
    for name in names:
        if name not in SWITCHES and name != "none":
            raise BadRequest(
                f'there is no tool "{name[:40]}"{nearest(name, list(SWITCHES))}; take some of {", ".join(SWITCHES)}'
            )
    return [name for name in dict.fromkeys(names) if name != "none"]


def approved_calls(given: Sequence[Mapping[str, Any]], tools: Mapping[str, AssistantTool]) -> list[AssistantCall]:
    """Calls that the user approved, by what they are. Raises Forbidden for a tool that this turn does not have."""
    calls = []
    for one in given:
        name, arguments = (one.get("tool"), one.get("arguments")) if isinstance(one, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise BadRequest(f'{str(one)[:60]!r} is no call; approve {{"tool": ..., "arguments": {{...}}}} as it was pending')
        if name not in tools:
            raise Forbidden(f'the tool "{name[:40]}" is not among those of this turn; switch it on first')
        calls.append(AssistantCall.of(name, arguments))
    return calls
