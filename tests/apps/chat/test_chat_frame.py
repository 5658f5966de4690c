from pathlib import Path

from apps.chat.chat_frame import ChatFrames
from mmgen.stores.conversations import Conversations


def test_a_call_that_waits_is_asked_about(tmp_path: Path) -> None:
    conversations = Conversations(tmp_path)
    frames, made = ChatFrames(conversations), conversations.make("ann")
    assert frames.kept("ann", made.id).empty["visible"] and not frames.kept("ann", made.id).asking["visible"]
    pending = [{"tool": "calc", "arguments": {"expression": "3 * 4"}, "asks": "it is a test"}]
    conversations.add(
        "ann", made.id, {"role": "user", "content": "3 * 4?"}, {"role": "assistant", "content": "", "pending": pending}
    )
    shown = frames.kept("ann", made.id)
    assert shown.asking["visible"] and shown.question == "Calculator: expression 3 * 4 - it is a test"
    assert not shown.empty["visible"] and shown.listing == {"choices": [("3 * 4?", made.id)], "value": made.id} | shown.listing
    started = frames.started("ann", made.id, "past", "live")
    assert (started.past, started.live, started.box, started.name) == ("past", "live", None, "3 * 4?")
    conversations.close()
