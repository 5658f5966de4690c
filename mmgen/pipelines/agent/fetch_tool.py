"""The tool fetch: the text of a public web page, under the rules of `ingest.web.url_fetch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.library import web_documents
from mmgen.pipelines.agent.router import URL
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ToolProgress, ToolResult, TurnContext
from mmgen.pipelines.streaming import Event

if TYPE_CHECKING:
    from mmgen.library.document_library import DocumentLibrary


class FetchTool(AssistantTool):
    name = "fetch"
    description = "Reads the text of a web page at a public address."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"url": {"type": "string", "pattern": r"^https?://[A-Za-z0-9.:/_?=&%~+,;@!#-]{3,200}$"}},
        "required": ["url"],
    }

    def __init__(self, library: DocumentLibrary) -> None:
        self.library = library

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        return {"url": urls[0]} if (urls := addresses(turn.said)) else None

    def asks(self, arguments: Mapping[str, Any], turn: TurnContext) -> str:
        """An address tells its server what it says: one that the user did not write could carry anything away."""
        written = [url for message in (turn.said, *map(_said, turn.before)) for url in addresses(message)]
        return "" if arguments.get("url") in written else "it sends a request to an address that you did not write"

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        url = str(call.arguments.get("url", ""))
        if not url.lower().startswith(("http://", "https://")):
            raise BadRequest(f"{url[:100]!r} is no web address; give one such as https://example.org/page")
        yield Event("progress", ToolProgress(call.id, f"Fetching {url[:100]}"))
        found = web_documents.document_at(url, self.library, {}, turn.request)
        yield ToolResult(f"{len(found.text):,} characters of {url[:100]}", text=found.text, trusted=False)


def addresses(said: str) -> list[str]:
    """Web addresses in the user's words, with their scheme."""
    found = [one.rstrip(".,;:!?)") for one in URL.findall(said)]
    return [one if "://" in one else f"https://{one}" for one in found]


def _said(message: Mapping[str, Any]) -> str:
    return str(message.get("content") or "") if message.get("role") == "user" else ""
