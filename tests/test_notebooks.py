"""Every notebook of docs/ runs, and what it asserts holds: each compares a computation by hand with the library's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import warm_python
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
assert NOTEBOOKS


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Jupyter finds a kernel, `warm`, that starts with the large libraries imported."""
    folder = tmp_path_factory.mktemp("jupyter")
    with warm_python.commands(folder) as commands:
        argv = [str(commands / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = folder / "kernels" / "warm" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": argv, "display_name": "warm", "language": "python"}))
        yield folder


def execute(notebook: nbformat.NotebookNode, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    NotebookClient(notebook, kernel_name="warm", timeout=300, startup_timeout=300).execute()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebook(path: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in notebook.cells if cell.cell_type == "code")
    execute(notebook, kernels, monkeypatch)


def test_a_wrong_claim_fails(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3")])
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(notebook, kernels, monkeypatch)
