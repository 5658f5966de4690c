"""rag-search: a store's passages, and what is to be told of how they were found."""

from pathlib import Path

from mmgen.pipelines.rag_search import RagSearch
from mmgen.runtime import Runtime


def test_search(tiny_runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("The lamp was lit in 1823.")
    search = RagSearch(tiny_runtime, store=str(tmp_path / "notes"))
    search.library.add([tmp_path / "lamp.md"])
    found = search("lamp", k=1, method="bm25")
    assert found.note == "" and str(found).endswith("lamp.md [0:25]") and search("lamp").hits[0].uri == found.hits[0].uri
    search.close()
