"""JSON as text: what is whole is read, what is not is told."""

import json

import pytest

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.json_text import lines_text, text_of
from mmgen.ingest.records import PARTIAL

CHAT = {
    "id": "t1",
    "messages": [{"role": "user", "content": "How long?"}, {"role": "assistant", "content": "Twelve.\n\nHours."}],
}
TURNS = "id: t1\nuser: How long?\nassistant: Twelve.\nHours."


def test_a_cut_last_line_costs_itself_alone() -> None:
    line = json.dumps(CHAT)
    text, metadata = lines_text(f'{line}\n\n{line}\n{{"id": "t3", "messages": [{{"role": "us')
    assert text == f"{TURNS}\n\n{TURNS}" and metadata["rows"] == 2
    assert metadata[PARTIAL].startswith("line 4, the last, is cut or damaged (Unterminated string")


def test_so_does_a_damaged_line_anywhere() -> None:
    text, metadata = lines_text('{"a": 1}\nnot json\n' + "[" * 100_000 + '\n{"a": 2}\n')
    assert text == "a: 1\n\na: 2" and metadata[PARTIAL].startswith("lines 2, 3 no JSON (Expecting value")
    assert "10, 11 and 5 more no JSON" in lines_text("1\n" + "x\n" * 15)[1][PARTIAL]
    with pytest.raises(Unreadable, match=r"is damaged at line 2 .*, and no other line is whole; repair it"):
        lines_text("\nnot json\n")


def test_conversations_are_turns() -> None:
    assert text_of(json.dumps(CHAT)) == (TURNS, {})
    assert text_of(json.dumps([CHAT, {"a": 1}])) == (f"{TURNS}\n\na: 1", {})


def test_pieces_of_a_long_conversation_carry_its_title() -> None:
    messages = [{"role": "user" if n % 2 else "assistant", "content": f"Sentence {n}. " * 40} for n in range(6)]
    text, _ = text_of(json.dumps({"id": "x", "title": "Boat", "messages": messages}))
    blocks = text.split("\n\n")
    assert len(blocks) > 5 and all(block.startswith("title: Boat\n") for block in blocks)
    assert all(line.startswith(("title:", "id:", "user: S", "assistant: S")) for line in text.split("\n") if line)


def test_pieces_of_a_long_text_carry_its_title() -> None:
    text, _ = lines_text(json.dumps({"text": "It shone.\n\nIt sank. " * 100, "title": "Lamp"}))
    assert text.count("It sank.") == 100 and all(block.startswith("title: Lamp\nIt s") for block in text.split("\n\n"))


def test_a_text_alone_stays_as_it_is() -> None:
    assert lines_text('{"text": "# A\\n\\nb"}')[0] == "# A\n\nb"


def test_a_cut_list_gives_its_whole_elements() -> None:
    missing = {PARTIAL: "what follows element 2: the list is cut or damaged there"}
    assert text_of(' [ {"a": 1},\n {"a": 2}, {"a": 3') == ("a: 1\n\na: 2", missing)
    assert text_of('["x", "y", 12') == ("x\n\ny", missing)


def test_lines_named_json_are_read_as_lines() -> None:
    assert text_of('{"a": 1}\n{"a": 2}\n') == ("a: 1\n\na: 2", {"rows": 2})


@pytest.mark.parametrize("text", ['{"a": ', "[", "[" * 100_000, "words", '{"a": 1} x', '{"a": 1'])
def test_no_json(text: str) -> None:
    with pytest.raises(Unreadable, match="is damaged json"):
        text_of(text)


def test_depth_makes_no_text_of_a_multiple_of_its_length() -> None:
    deep = '{"key": ' * 300 + json.dumps(["x", {}, []] * 100) + "}" * 300
    text, _ = text_of(deep)
    assert text.count('"x"') == 100 and len(text) < 12 * len(deep)
    assert json.loads(text) == json.loads(deep), "only white space differs"
    names = "".join(f'{{"name {n:03}": {{"a": {n}, "b": ' for n in range(150))
    inside = f"[{names}1{'}' * 300}]"
    record, _ = text_of(inside)
    assert len(record) < 8 * len(inside)
    assert all(f"name {n:03}" in record and f".a: {n}" in record for n in range(150)), "what is shortened is told once"


def test_a_key_of_many_letters_is_told_once_a_record() -> None:
    text, _ = text_of(json.dumps([{"key " * 1000: {"a": [{}, *range(1000)], "b": "word " * 2000}}]))
    assert len(text) < 40_000 and text.count("key") == 1000 and "….a: 999" in text


def test_equal_turns_are_all_kept() -> None:
    text, _ = text_of(json.dumps({"messages": [{"role": "user", "content": f"Go on {n % 2}."} for n in range(400)]}))
    assert text.count("Go on 1.") == 200 and text.count("Go on 0.") >= 200


def test_contents_in_contents_are_read_once() -> None:
    inner: object = ""
    for _ in range(60):
        inner = {"text": inner}
    assert text_of(json.dumps({"id": "a", "messages": [{"role": "user", "content": inner}]})) == ("id: a", {})
