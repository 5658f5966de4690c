"""/v1/rerank: orders documents by relevance to a query; the request format of Jina and Cohere."""

from __future__ import annotations

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

    model: str | None = Field(default=None, description="An encoder, as /v1/models lists it; without it the server's own.")
    query: Text
    documents: list[Text | RerankDocument] = Field(min_length=1, max_length=MOST_DOCUMENTS)
    top_n: int | None = Field(default=None, ge=1, description="How many to return; all without it.")
    return_documents: bool = True


class Ranked(BaseModel):
    index: int = Field(description="The document's place in the request, from 0.")
    relevance_score: float = Field(description="The cosine of the two vectors, -1 to 1.")
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
    """Orders documents by the cosine between the sentence encoder's vectors of query and document.

    No cross-encoder reads the two together: the score tells what a dense search would.
    """
    request = context.begin("rerank", "embeddings", "interactive")
    return await pipeline_calls.run(context, request, lambda: ranked(body, context, request))


def ranked(body: Reranking, context: Context, request: Request) -> Rerank:
    """The best first; of equal ones the earlier."""
    client = context.rt.encoder(context.model(body.model, "encoder"))
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    vectors = client.embed_text([body.query, *texts], request)  # (1 + N, D), unit length
    cosines = vectors[1:] @ vectors[0]
    best = sorted(range(len(texts)), key=lambda n: -float(cosines[n]))[: body.top_n]
    results = [
        Ranked(
            index=n,
            relevance_score=float(cosines[n]),
            document=RerankDocument(text=texts[n]) if body.return_documents else None,
        )
        for n in best
    ]
    tokens = sum(map(len, client.model.tokenize([body.query, *texts])))
    used = RerankUsage(prompt_tokens=tokens, total_tokens=tokens)
    return Rerank(id=request.id, model=name_of(client.name), results=results, usage=used)
