"""Texts of answers, whole and streamed, in whatever pieces they come."""

from mmgen.serve.engines.answer_text import AnswerText


def collected(*pieces: bytes) -> AnswerText:
    made = AnswerText()
    for piece in pieces:
        made.add(piece)
    return made


def test_texts() -> None:
    whole = b'{"choices": [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": null}, "text": "a"}]}'
    assert collected(whole[:30], whole[30:]).texts() == ["a", "b"]
    stream = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\ndata: {"choices": [{"index": 0, "text": "y"}]}\n\n'
    )
    assert collected(stream[:13], stream[13:], b"data: [DONE]\n\n").texts() == ["xy"]
    assert collected(b"no JSON").texts() == []


def test_errors() -> None:
    assert collected(b'{"error": {"message": "too long"}}').error() == "too long"
    assert collected(b'{"object": "error", "message": "too hot"}').error() == "too hot"
    assert collected(b'{"choices": []}').error() == ""
