from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.engine.job import Request
from mmgen.errors import Cancelled
from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in {
        "lamp.txt": "The lamp was lit in 1823.",
        "tea.md": "# Tea\n\nIt came with monks.",
        "bees.txt": "Bees dance.",
    }.items():
        (folder / name).write_text(text)
    (folder / "again.txt").write_text("Bees dance.")
    (folder / "broken.docx").write_bytes(b"PK no archive")
    return folder


@pytest.fixture
def library(tiny_runtime: Runtime, tmp_path: Path, on: Any) -> Iterator[DocumentLibrary]:
    on(tiny_runtime)
    library = DocumentLibrary.open(tiny_runtime, tmp_path / "store")
    yield library
    library.close()


def test_the_store_is_as_if_one_process_had_filled_it(
    library: DocumentLibrary, folder: Path, sent: list[str], tiny_runtime: Runtime, tmp_path: Path
) -> None:
    report, alone = library.add(folder, ray="here"), DocumentLibrary.open(tiny_runtime, tmp_path / "alone")
    same = alone.add(folder)
    assert sorted(report.added) == sorted(same.added) and report.passages == same.passages == 3
    assert report.skipped == same.skipped and len(report.skipped) == 1
    assert len(report.copies) == 1 and not report.unchanged
    assert len(sent) == 4, "of equal bytes one file"
    for query in ("lamp", "bees", "tea"):
        (mine,), (theirs,) = library.search(query, k=1), alone.search(query, k=1)
        assert (mine.passage, mine.uri, mine.score) == (theirs.passage, theirs.uri, pytest.approx(theirs.score, abs=1e-5))
    alone.close()


def test_each_stage_tells_what_it_did(library: DocumentLibrary, folder: Path, sent: list[str]) -> None:
    told: list[str] = []
    report = library.add(folder, ray="here", progress=lambda step: told.append(step.stages))
    assert {stage: rate.items for stage, rate in report.stages.items()} == {"read": 4, "split": 3, "embed": 3, "write": 4}
    assert all(rate.per_s > 0 and rate.busy_s >= 0 for rate in report.stages.values())
    assert any("read " in one and "embed " in one and "/s" in one for one in told)


def test_what_is_there_is_not_sent_again(library: DocumentLibrary, folder: Path, sent: list[str]) -> None:
    library.add(folder / "lamp.txt")
    library.add(folder, ray="here")
    assert not any(one.endswith("lamp.txt") for one in sent)
    sent.clear()
    (folder / "broken.docx").unlink()
    report = library.add(folder, ray="here", sync=True)
    assert not sent and not report.stages and len(report.unchanged) == 4


def test_what_was_stored_before_it_ended_stays(
    library: DocumentLibrary, folder: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmgen.library.document_indexing.AT_ONCE", 1)
    request = Request.new(priority="batch")

    def stop(step: Any) -> None:
        if step.added:
            request.cancel()

    with pytest.raises(Cancelled):
        library.add(folder, ray="here", progress=stop, request=request)
    stored = len(library.readable().uris())
    assert 0 < stored < 4
    sent.clear()
    library.add(folder, ray="here")
    assert len(library.readable().uris()) == 4 and len(sent) == 4 - stored
    assert np.isfinite(library.search("bees", k=1)[0].score)
