"""/v1/embeddings: embeds texts as vectors."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, TooLong
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.openai_fields import OpenAIBody
from mmgen.serve.wire.bounds import Ids, items
from mmgen.value_checks import PIECE

if TYPE_CHECKING:
    import numpy as np

    from mmgen.clients.encoder import EncoderClient

router = APIRouter(tags=["embeddings"])
MOST = 2048
"""Texts of a call; OpenAI's."""


class EmbeddingsRequest(OpenAIBody):
    model: str
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MOST), items(str)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=MOST), items(list)]
    )
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    input_type: Literal["query", "document"] | None = Field(
        None, description="What the texts are in a search, for models that write a prompt before them."
    )


@router.post("/v1/embeddings", response_model=None)
async def embeddings(body: EmbeddingsRequest, context: Here) -> Response:
    """Vectors of unit length, in the texts' order."""
    request = context.begin("embeddings", "embeddings")
    return Response(
        await pipeline_calls.run(context, request, lambda: answer(context, body, request)), media_type="application/json"
    )


def answer(context: Context, body: EmbeddingsRequest, request: Request) -> bytes:
    """JSON. Thousands of numbers: orjson writes them 20 times as fast as json does, and no longer than float32 needs."""
    import orjson

    found, tokens = vectors(context, body, request)
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, body.encoding_format)}
        for index, vector in enumerate(found)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    told = {"object": "list", "data": data, "model": body.model, "usage": usage}
    return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)


def vectors(context: Context, body: EmbeddingsRequest, request: Request, cut: bool = False) -> tuple[np.ndarray, int]:
    """(N, D) float32 of unit length, and how many tokens were read. `cut`: what is too long is, else TooLong is raised."""
    client = context.rt.encoder(context.model(body.model, "encoder"))
    if body.dimensions is not None and body.dimensions > client.dimension:
        raise BadRequest(f"dimensions is {body.dimensions}; vectors of {body.model} have {client.dimension}")
    texts = _texts(client, body.input)
    if cut:
        texts = [text[:PIECE] for text in texts]  # what is read of them stands there
    else:
        client.check_length(texts, request)
    rows = client.rows(texts, body.input_type or "", request=request)
    if not cut:
        _check(client, body.model, texts, rows)
    return shortened(context.rt.submit(client.runner, rows, request), body.dimensions), sum(len(row) for row in rows)


def _texts(client: EncoderClient, given: Any) -> list[str]:
    """Raises BadRequest for an empty one."""
    several = isinstance(given, list) and not isinstance(given[0], int)
    texts = [one if isinstance(one, str) else client.model.decode(one) for one in (given if several else [given])]
    if not all(texts):
        raise BadRequest("a text is empty; leave it out")
    return texts


def _check(client: EncoderClient, name: str, texts: Sequence[str], rows: Sequence[Any]) -> None:
    """Nothing is cut without a word. Raises TooLong."""
    for text, row in zip(texts, rows, strict=True):
        if len(row) >= client.max_tokens and (size := len(client.token_spans(text)) + 2) > client.max_tokens:
            raise TooLong(f"a text is {size} tokens, {name} reads {client.max_tokens}; split it")


def shortened(vectors: Sequence[np.ndarray], dimensions: int | None) -> np.ndarray:
    """The first so many dimensions, of unit length again: for models that were trained for it (Kusupati et al. 2022)."""
    import numpy as np

    out = np.stack(vectors)
    if dimensions is None or dimensions == out.shape[1]:
        return out
    cut = out[:, :dimensions]
    lengths: np.ndarray = np.linalg.norm(cut, axis=1, keepdims=True)
    return cut / np.maximum(lengths, 1e-12)  # type: ignore[no-any-return]


def _written(vector: np.ndarray, form: str | None) -> str | np.ndarray:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if form == "base64" else vector
