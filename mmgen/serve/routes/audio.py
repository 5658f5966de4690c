"""/v1/audio: what this server does not have, said clearly."""

from __future__ import annotations

from fastapi import APIRouter

from mmgen.errors import NotFound
from mmgen.serve.context import Here

router = APIRouter(prefix="/v1/audio", include_in_schema=False)


@router.api_route("/{what:path}", methods=["GET", "POST", "DELETE"])
async def audio(what: str, context: Here) -> None:
    """Raises NotFound."""
    raise NotFound(
        f"there is no /v1/audio/{what[:60]}: this server neither speaks nor listens; it has texts, images and documents"
    )
