"""What the README shows works: its shell and Python blocks are run in order, its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(shell|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
DEMO = "make demo\n"  # sets up an environment: the slow suite's
BLOCKS = [match.groups() for match in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tested commands first on the path, and a home of their own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "MMGEN_HOME": str(tmp_path_factory.mktemp("readme"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what the README draws may lie; the sample documents are at hand as in a checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "assets").symlink_to(ROOT / "assets")
    return folder


@pytest.mark.parametrize(("kind", "code"), [block for block in BLOCKS if block != ("shell", DEMO)])
def test_block(kind: str, code: str, environment: dict[str, str], folder: Path) -> None:
    command = ["bash", "-euo", "pipefail", "-c", code] if kind == "shell" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_the_demo_is_what_the_readme_begins_with() -> None:
    assert BLOCKS[0] == ("shell", DEMO)
    assert {kind for kind, _ in BLOCKS} == {"shell", "python"}


@pytest.mark.slow
def test_make_demo(tmp_path: Path) -> None:
    """In a fresh clone; needs a package index. The second time nothing is set up and nothing is read again."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    subprocess.run(["make", "demo"], cwd=tmp_path / "clone", check=True, capture_output=True, timeout=1800)
    done = subprocess.run(["make", "demo"], cwd=tmp_path / "clone", check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.count("\n> ") == 3 and "0 documents added" in done.stdout and "Not in the documents." in done.stdout
    assert "pip install" not in done.stdout


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "examples/plugins/mmgen_pixel/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    gone = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).exists()]
    assert not gone
