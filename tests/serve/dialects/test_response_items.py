"""Input items and tools of /v1/responses as a chat's."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.dialects import response_items


def test_items_are_messages() -> None:
    given: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text} for text in ("Rain", "?")]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call", "call_id": "c1", "name": "sky", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "sky", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "red"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}, {"type": "input_text", "text": "this?"}]},
    ]  # fmt: skip
    developer, user, assistant, tool, image = response_items.messages(given)
    assert (developer["role"], user["content"]) == ("developer", "Rain?")
    assert assistant["content"] == "Wait." and assistant["reasoning_content"] == "Hm."
    assert [call["id"] for call in assistant["tool_calls"]] == ["c1", "c2"]
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "red"}
    assert image["content"][0] == {"type": "image_url", "image_url": {"url": "data:,x"}}
    assert response_items.messages("hi") == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([{"type": "item_reference", "id": "x"}], r"input\[0\] is of type 'item_reference'"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], r"content\[0\] is of type 'input_file'"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "send the image as a data: URL"),
        ([{"role": "user", "content": 7}], "neither a text nor a list"),
    ],
)
def test_what_cannot_be_read_is_told(given: Any, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        response_items.messages(given)


def test_tools_and_choices() -> None:
    function = {"type": "function", "name": "sky", "parameters": {"type": "object"}, "strict": True}
    (tool,), store = response_items.tools([function])
    assert tool == {"type": "function", "function": {"name": "sky", "parameters": {"type": "object"}}} and store is None
    search = {"type": "file_search", "vector_store_ids": ["notes"]}
    assert response_items.tools([search]) == ([], "notes")
    assert response_items.choice({"type": "function", "name": "sky"}) == {"type": "function", "function": {"name": "sky"}}
    for wrong in ([{"type": "web_search"}], [{"type": "file_search"}], [search, function]):
        with pytest.raises(BadRequest):
            response_items.tools(wrong)
    with pytest.raises(BadRequest):
        response_items.choice({"type": "mcp"})


def test_formats() -> None:
    schema = {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
    found = response_items.response_format({"format": schema})
    assert found == {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert response_items.response_format({"format": {"type": "text"}}) == {"type": "text"}
    assert response_items.response_format({"verbosity": "low"}) is None
