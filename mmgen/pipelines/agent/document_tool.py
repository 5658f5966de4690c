"""The tool docs: a question to a store's documents, answered with quotes or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ToolProgress, ToolResult, TurnContext
from mmgen.pipelines.rag_text import RagText
from mmgen.pipelines.streaming import Event
from mmgen.rag_params import RagParams

if TYPE_CHECKING:
    from mmgen.pipelines.rag.answer import Answer


class DocumentTool(AssistantTool):
    name = "docs"
    description = "Answers a question from the user's documents, with quotes."
    acts = False
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"question": {"type": "string"}},
        "required": ["question"],
    }

    def __init__(self, rag: RagText) -> None:
        self.rag = rag

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        return {"question": turn.said}

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        question = str(call.arguments.get("question", ""))
        history = [one for one in turn.before if one["role"] in ("user", "assistant")]
        for event in self.rag.stream(question, params=RagParams(), history=history, request=turn.request):
            if event.kind == "rewritten":
                yield Event("progress", ToolProgress(call.id, f"Searching: {event.value}"))
            elif event.kind == "passages":
                yield Event("progress", ToolProgress(call.id, f"Reading {len(event.value)} passages"))
            elif event.kind == "answer":
                yield result(event.value)

    def close(self) -> None:
        self.rag.close()


def result(answer: Answer) -> ToolResult:
    """What rag-text answered; its words are the documents'."""
    text = f"{answer.marked}\n\n{answer.note}" if answer.note else answer.marked
    names = ", ".join(dict.fromkeys(str(citation) for citation in answer.citations))
    found = names or f"nothing, in {len(answer.passages)} passages"
    passages = {hit.passage_id: hit.passage.text for hit in answer.passages}
    return ToolResult(
        summary=f"{found} (confidence {answer.confidence:.0%})",
        answer=text,
        text=answer.text,
        trusted=False,
        citations=answer.citations,
        passages=[passages.get(one.passage_id, one.quote) for one in answer.citations],
        confidence=answer.confidence,
        abstained=answer.abstained,
    )
