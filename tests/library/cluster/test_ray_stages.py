"""Documents through Ray Data on two nodes of one core each, of which a process is killed."""

import importlib.util
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray_nodes import nodes

from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray Data warns of its own settings
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


def test_every_document_is_stored_once_whatever_dies(quick_start: None, tiny_runtime: Runtime, tmp_path: Path) -> None:
    folder, killed, progress = tmp_path / "docs", list[int](), list[str]()
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").write_text(f"Lamp {number} was lit in {1700 + number}. It shone over the sea. " * 20)

    def told(step: Any) -> None:
        progress.append(step.stages)
        if step.files > 20 and not killed:
            embedders = [one for one in psutil.Process().children(recursive=True) if "_Embedder" in " ".join(one.cmdline())]
            killed.append(embedders[0].pid)
            os.kill(embedders[0].pid, signal.SIGKILL)

    alone = DocumentLibrary.open(tiny_runtime, tmp_path / "alone")
    whole = alone.add(folder)
    library = DocumentLibrary.open(tiny_runtime, tmp_path / "store")
    with nodes(1, 1) as cluster:
        report = library.add(folder, ray=cluster.address, progress=told)
        assert killed and len(report.added) == len(set(report.added)) == 200 and not report.skipped
        assert report.passages == whole.passages and report.stages["embed"].items == whole.passages
        again = library.add(folder, ray=cluster.address)
        assert len(again.unchanged) == 200 and not again.added
    assert any("embed " in one for one in progress)
    for query in ("lamp 7", "lit in 1788"):
        assert library.search(query, k=3)[0].passage == alone.search(query, k=3)[0].passage
    library.close()
    alone.close()
