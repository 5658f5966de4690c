"""Conversations of every usual shape, as turns."""

from typing import Any

import pytest

from mmgen.ingest.conversations import turns

SAID = [("user", "How long?"), ("assistant", "Twelve hours.")]


def node(parent: str | None, role: str, content: dict[str, Any] | None) -> dict[str, Any]:
    return {"parent": parent, "message": {"author": {"role": role}, "content": content} if content else None}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"messages": [{"role": who, "content": text} for who, text in SAID]}, SAID),
        ({"conversations": [{"from": who, "value": text} for who, text in SAID]}, SAID),
        ({"chat_messages": [{"sender": who, "text": text} for who, text in SAID]}, SAID),
        ({"dialogue": [{"speaker": "Ann", "text": "Hm.\n\nNo."}]}, [("Ann", "Hm.\n\nNo.")]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {}}]}
                ]
            },
            [("user", "See\n(image_url)")],
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}]},
            [("assistant", 'calls {"name": "f"}')],
        ),
    ],
)
def test_lists_of_messages(value: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert turns(value) == (next(iter(value)), said)


def test_a_tree_of_nodes_is_told_from_its_root() -> None:
    """Whatever the order of its ids; a branch after the other; a node that lost its parent is not lost."""
    mapping = {
        "c": node("b", "assistant", {"content_type": "text", "parts": ["Twelve hours."]}),
        "d": node("b", "assistant", {"content_type": "text", "parts": ["Ten.", {"content_type": "image_asset_pointer"}]}),
        "root": node(None, "system", None),
        "b": node("root", "user", {"content_type": "text", "parts": ["How long?"]}),
        "x": node("y", "user", {"content_type": "code", "text": "print()"}),
        "y": node("x", "user", {"content_type": "text", "parts": [""]}),
    }
    said = [*SAID, ("assistant", "Ten.\n(image_asset_pointer)"), ("user", "print()")]
    assert turns({"title": "Peas", "mapping": mapping}) == ("mapping", said)


@pytest.mark.parametrize(
    "value",
    [{}, {"messages": []}, {"messages": "none"}, {"messages": ["a", "b"]}, {"mapping": {"a": 1}}, {"turns": [{"speed": 3}]}],
)
def test_other_objects_are_none(value: dict[str, Any]) -> None:
    assert turns(value) is None
