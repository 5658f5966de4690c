"""/v1/rerank: orders documents by relevance to a query, by a cross-encoder or by vectors; Jina's and Cohere's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mmgen.engine.job import Request
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.model_catalog import name_of

router = APIRouter(tags=["rerank"])
MOST_DOCUMENTS = 1000
Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class RerankDocument(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: Text


class Reranking(BaseModel):
    """POST /v1/rerank"""

    model_config = ConfigDict(extra="ignore")

    model: str | None = Field(
        default=None, description="A cross-encoder or encoder, as /v1/models lists it; without it the server's encoder."
    )
    query: Text
    documents: list[Text | RerankDocument] = Field(min_length=1, max_length=MOST_DOCUMENTS)
    top_n: int | None = Field(default=None, ge=1, description="How many to return; all without it.")
    return_documents: bool = True


class Ranked(BaseModel):
    index: int = Field(description="The document's place in the request, from 0.")
    relevance_score: float = Field(description="The cross-encoder's score, or the cosine of the two vectors, -1 to 1.")
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Rerank(BaseModel):
    id: str
    object: str = "list"
    model: str
    results: list[Ranked]
    usage: RerankUsage


@router.post("/v1/rerank", response_model=Rerank, response_model_exclude_none=True)
async def rerank(body: Reranking, context: Here) -> Any:
    """Orders documents by what a cross-encoder makes of each beside the query, or by the cosine of an encoder's vectors."""
    request = context.begin("rerank", "embeddings", "interactive")
    return await pipeline_calls.run(context, request, lambda: ranked(body, context, request))


def ranked(body: Reranking, context: Context, request: Request) -> Rerank:
    """The best first; of equal ones the earlier."""
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    scores, tokens, name = scored(body, texts, context, request)
    best = sorted(range(len(texts)), key=lambda n: -scores[n])[: body.top_n]
    results = [
        Ranked(
            index=n,
            relevance_score=scores[n],
            document=RerankDocument(text=texts[n]) if body.return_documents else None,
        )
        for n in best
    ]
    used = RerankUsage(prompt_tokens=tokens, total_tokens=tokens)
    return Rerank(id=request.id, model=name_of(name), results=results, usage=used)


def scored(body: Reranking, texts: Sequence[str], context: Context, request: Request) -> tuple[list[float], int, str]:
    """The texts' scores, how many tokens were read for them, and the model's reference."""
    if body.model is not None and context.http.app.state.catalog.get(body.model).kind == "cross-encoder":
        model = context.rt.cross_encoder(context.model(body.model, "cross-encoder"))
        scores, tokens = model.measured(body.query, texts, request)
        return scores.tolist(), tokens, model.reference
    client = context.rt.encoder(context.model(body.model, "encoder"))
    (asked,), vectors = client.embed_text([body.query], request, "query"), client.embed_text(texts, request, "document")
    tokens = sum(map(len, [*client.rows([body.query], "query"), *client.rows(texts, "document")]))
    return (vectors @ asked).tolist(), tokens, client.name
