"""rag-search: the passages of a store nearest to a query. Imports no torch until it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmgen.engine.job import Request
from mmgen.interfaces import Hit

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@dataclass(frozen=True)
class FoundPassages:
    """What a search returns, the best first."""

    hits: tuple[Hit, ...]
    note: str = ""  # what is to be told of how they were found

    def __str__(self) -> str:
        return "\n".join(f"{hit.score:.3f}  {hit.uri} [{hit.passage.start}:{hit.passage.end}]" for hit in self.hits)


class RagSearch:
    """The passages of a store that are nearest to a query.

    store: name or path of the store.
    """

    def __init__(self, rt: Runtime, *, store: str | None = None) -> None:
        from mmgen.library.document_library import DocumentLibrary

        self.library = DocumentLibrary.open(rt, store)

    def __call__(
        self,
        query: str,
        *,
        k: int = 5,
        method: Literal["hybrid", "bm25", "dense"] = "hybrid",
        rerank: str | None = None,
        where: Sequence[str] = (),
        request: Request | None = None,
    ) -> FoundPassages:
        """Searches; see `DocumentLibrary.search` for what it raises.

        query: words or a sentence.
        k: how many passages.
        method: hybrid, bm25 or dense.
        rerank: mmr, or a cross-encoder's reference.
        where: metadata filters, such as year>=2020.
        """
        hits = self.library.search(query, k=k, method=method, rerank=rerank, where=where, request=request)
        return FoundPassages(tuple(hits), self.library.note(query) if method == "hybrid" else "")

    def close(self) -> None:
        self.library.close()
