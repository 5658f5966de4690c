"""A turn as the events of a response."""

from mmgen.serve.dialects.response_events import ResponseEvents
from mmgen.serve.dialects.turn import Piece, pieces

CHUNKS = [
    {"choices": [{"delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None, "finish_reason": None}]},
    {"choices": [{"delta": {"reasoning_content": "Hm."}, "logprobs": None, "finish_reason": None}]},
    {"choices": [{"delta": {"content": "It "}, "logprobs": None, "finish_reason": None}]},
    {"choices": [{"delta": {"content": "is."}, "logprobs": {"content": [{"token": "is"}]}, "finish_reason": None}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                                            "function": {"name": "sky", "arguments": "{}"}}]},
                  "logprobs": None, "finish_reason": None}]},
    {"choices": [{"delta": {}, "logprobs": None, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                              "prompt_tokens_details": {"cached_tokens": 1}}},
]  # fmt: skip


def test_every_item_begins_and_ends() -> None:
    written = ResponseEvents({"id": "resp_1"})
    events = list(written.events(pieces(CHUNKS, written.turn)))
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    assert [event.event.removeprefix("response.") for event in events] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    whole = events[-1].data["response"]
    reasoning, message, call = whole["output"]
    assert reasoning["content"][0]["text"] == "Hm." and message["content"][0]["text"] == "It is."
    assert message["content"][0]["logprobs"] == [{"token": "is"}] and (call["call_id"], call["name"]) == ("c1", "sky")
    assert whole["usage"]["input_tokens"] == 3 and whole["usage"]["input_tokens_details"]["cached_tokens"] == 1
    assert written.turn.message["tool_calls"][0]["function"] == {"name": "sky", "arguments": "{}"}


def test_an_answer_without_words_and_one_that_was_cut() -> None:
    written = ResponseEvents({"id": "resp_1"})
    written.turn.finish = "length"
    *_, last = written.events(iter(()))
    assert last.event == "response.incomplete" and last.data["response"]["output"][0]["content"][0]["text"] == ""
    assert last.data["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_citations_are_annotations() -> None:
    written = ResponseEvents({})
    note = {"type": "url_citation", "url_citation": {"title": "tower.txt", "start_index": 0}}
    *_, last = written.events([Piece("text", "1887", (note,))])
    (part,) = last.data["response"]["output"][0]["content"]
    assert part["annotations"] == [{"type": "url_citation", "title": "tower.txt", "start_index": 0}]
    assert written.error({"error": {"code": "x", "message": "y", "param": None}}).data["type"] == "error"
