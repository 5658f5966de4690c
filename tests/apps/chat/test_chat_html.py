from typing import Any

from apps.chat import chat_html

EVIL = "<script>alert(1)</script>"
CITATION = {"document": "/home/me/hirta.md", "quote": "in 1823", "page": 2, "heading": "Light"}


def reply(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "in 1823 [1]", **more}


def test_an_answer_with_its_steps_and_sources() -> None:
    step = {"call": {"tool": "docs", "arguments": {"question": "when?"}}, "summary": "hirta.md", "ms": 1500.0, "error": ""}
    shown = chat_html.transcript(
        [
            {"role": "user", "content": "when?"},
            reply(steps=[step], citations=[CITATION], passages=["It was lit in 1823 by Anna."], confidence=0.91),
        ]
    )
    assert shown.count("<article") == 2 and "aria-label='You, message 1'" in shown
    assert "<summary>Documents <small>1.5 s</small></summary>" in shown and "Documents: question when?" in shown
    assert "It was lit <mark>in 1823</mark> by Anna." in shown and "hirta.md, page 2, Light" in shown
    assert "/home/me" not in shown and "Confidence 91%" in shown


def test_everything_that_others_wrote_is_text() -> None:
    step = {"call": {"tool": EVIL, "arguments": {EVIL: EVIL}}, "summary": EVIL, "ms": 1, "error": ""}
    image = {"name": EVIL, "kind": "image/png", "data": "'><script>", "width": 9, "height": 9, "prompt": "", "caption": EVIL}
    cited = {**CITATION, "quote": EVIL, "document": EVIL, "heading": EVIL}
    said = reply(
        content=EVIL, steps=[step], images=[image, {**image, "kind": "text/html"}], citations=[cited], error=EVIL, model=EVIL
    )
    shown = chat_html.transcript([{"role": "user", "content": EVIL}, said]) + chat_html.running([step], EVIL, EVIL, [image])
    assert "<script" not in shown and "text/html" not in shown


def test_attached_images_are_data_only() -> None:
    parts = [
        {"type": "image", "image": "data:image/png;base64,aGk="}, {"type": "image", "image": "https://evil.test/a.png"},
        {"type": "text", "text": "what\nis it?"},
    ]  # fmt: skip
    shown = chat_html.message({"role": "user", "content": parts}, 1)
    assert shown.count("<img") == 1 and "evil.test" not in shown and "what<br>is it?" in shown


def test_under_way() -> None:
    shown = chat_html.running((), "Drawing 3 of 20", "", ())
    assert "aria-busy='true'" in shown and "<p class='pending'>Drawing 3 of 20</p>" in shown


def test_buttons_at_each_message_but_not_while_an_answer_grows() -> None:
    messages = [{"role": "user", "content": "when?"}, reply()]
    shown = chat_html.transcript(messages)
    assert "data-act='edit 1'" in shown and "data-act='regenerate 2' aria-label='Regenerate message 2'" in shown
    assert "data-act" not in chat_html.transcript(messages, acts=False)
