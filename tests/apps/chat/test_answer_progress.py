from apps.chat.answer_progress import AnswerProgress
from mmgen.pipelines.agent.reply import AssistantReply, AssistantStep
from mmgen.pipelines.agent.tool import AssistantCall, ToolProgress
from mmgen.pipelines.language.text_pipeline import Delta
from mmgen.pipelines.streaming import Event


def test_what_is_being_done_is_shown() -> None:
    answer, call = AnswerProgress(), AssistantCall.of("draw", {"prompt": "a red apple"})
    assert "Thinking" in answer.html()
    answer.add(Event("call", call))
    assert "Draw: prompt a red apple" in answer.html()
    answer.add(Event("progress", ToolProgress(call.id, "Drawing", 3, 20)))
    assert answer.doing == "Drawing 3 of 20"
    answer.add(Event("result", AssistantStep(call, "an image", 12.0, "rule", "")))
    answer.add(Event("text", Delta(0, "Here")))
    assert answer.doing == "" and "Here" in answer.html() and len(answer.steps) == 1
    assert answer.ended(stopped="user")["untrusted"], "what a tool brought may be in it"
    assert "untrusted" not in answer.ended(error="no") and answer.ended(error="no")["content"] == "Here"
    answer.add(Event("reply", AssistantReply("Here it is", messages=({"role": "assistant", "content": "Here it is"},))))
    assert answer.reply is not None and answer.reply["content"] == "Here it is" and answer.reply["pending"] == []
