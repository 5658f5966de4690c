"""A chat that names a store: the answer of its documents, with citations and confidence as annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.serve.context import Context
from mmgen.serve.routes import stores
from mmgen.serve.routes.store_schemas import Ask


def answer(context: Context, store: str, model: str, messages: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """{"text", "annotations", "confidence", "abstained"} of the last question, which the messages before it complete.

    `model`: a language model writes the answer from the passages, a reader quotes them. Raises as /v1/stores/NAME/ask.
    """
    kind = context.http.app.state.catalog.get(model).kind
    if kind not in ("text", "reader"):
        raise BadRequest(f"{model} is of kind {kind}; a store is answered from by a reader or a language model")
    said = [{"role": one["role"], "content": one["content"]} for one in messages]
    if not all(isinstance(one["content"], str) for one in said):
        raise BadRequest("a message has images, and a store is asked in words alone; leave them out")
    try:
        asked = Ask(messages=said, model=model if kind == "text" else None)  # type: ignore[arg-type]
    except ValidationError as why:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in why.errors()]) from None
    found = stores.answered(store, asked, context, request).model_dump(mode="json")
    notes = [_annotation(one, found, store, str(context.http.base_url)) for one in found["citations"]]
    return {
        "text": found["answer"], "annotations": notes, "confidence": found["confidence"], "abstained": found["abstained"]
    }  # fmt: skip


def _annotation(citation: Mapping[str, Any], answer: Mapping[str, Any], store: str, base: str) -> dict[str, Any]:
    """As OpenAI cites the web, with what else is known of the place. The span of the text is the quote's, or all of it."""
    text, quote = answer["answer"], citation["quote"]
    at = max(text.find(quote), 0)
    url = f"{base}v1/stores/{store}/documents/{citation['document_id']}"
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": at,
            "end_index": at + len(quote) if quote in text else len(text),
            "title": citation["document"],
            "url": url if citation["page"] is None else f"{url}/pages/{citation['page']}",
            "confidence": answer["confidence"],
            **{name: citation[name] for name in ("quote", "document_id", "start", "end", "page")},
        },
    }
