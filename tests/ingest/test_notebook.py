"""Notebooks: their words and code, never their pictures."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.loaders import load
from mmgen.ingest.notebook import ipynb


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def test_cells_and_the_text_of_outputs(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 50, "text/plain": ["<Figure>"]}},
        {"output_type": "stream", "text": ["2.4\n", "2.5\n"]},
        {"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m: no tide"]},
    ]
    data = notebook(
        {"cell_type": "markdown", "source": ["# Tides\n", "The mean range is 2.4 m."]},
        {"cell_type": "code", "source": "plot(range)", "outputs": outputs},
        {"cell_type": "code", "source": [], "outputs": []},
    )
    (tmp_path / "a.ipynb").write_bytes(data)
    document = load(tmp_path / "a.ipynb")
    fenced = [f"```\n{text}\n```" for text in ("plot(range)", "<Figure>", "2.4\n2.5", "ValueError: no tide")]
    assert document.text == "\n\n".join(["# Tides\nThe mean range is 2.4 m.", *fenced])
    assert document.kind == "markdown"


def test_a_fence_within() -> None:
    assert ipynb(Path("a"), notebook({"cell_type": "code", "source": "x = '```'"}))[0] == "````\nx = '```'\n````"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b'{"cells": [', "is a damaged notebook"), (b"[]", "no notebook of format 4"), (b'{"cells": [3]}', "no notebook of")],
)
def test_no_notebook(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        ipynb(Path("a"), data)
