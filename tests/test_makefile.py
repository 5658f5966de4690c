"""What `make demo` and `make test` set up, with a Python that only writes down what it is asked to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAKE = """#!{python}
import os, pathlib, sys
here, words = pathlib.Path.cwd(), sys.argv[1:]
with open(here / "log", "a") as log:
    print(pathlib.Path(sys.argv[0]).name, *words, file=log)
if words[:2] == ["-m", "venv"]:
    (here / words[-1] / "bin").mkdir(parents=True, exist_ok=True)
    for name in ("python", "mmgen", "pip"):
        target = here / words[-1] / "bin" / name
        target.write_text(pathlib.Path(sys.argv[0]).read_text())
        target.chmod(0o755)
if "install" in words and (here / "broken").exists():
    sys.exit(1)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "fake-python"
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(0o755)
    return tmp_path


def make(checkout: Path, target: str, code: int = 0) -> list[str]:
    """The commands that Python and mmgen were given."""
    (checkout / "log").unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "VENV")}
    command = ["make", target, f"PYTHON={checkout / 'fake-python'}"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) == bool(code), done.stderr
    return (checkout / "log").read_text().splitlines()


def installs(log: list[str]) -> int:
    return sum(" install " in line for line in log)


def test_demo_sets_up_once(checkout: Path) -> None:
    first = make(checkout, "demo")
    assert first[0].startswith("fake-python -m venv") and installs(first) == 1
    assert first[1].endswith("--constraint constraints.txt --editable .[ocr]"), "torch is pinned there"
    assert first[2].startswith("python -m compileall")
    second = make(checkout, "demo")
    assert [" ".join(line.split()[:3]) for line in second] == [
        "mmgen rag add", "mmgen rag chat", "mmgen pull embedded:smollm2", "mmgen chat What", "mmgen txt2img a",
    ]  # fmt: skip


def test_test_sets_up_everything_at_once(checkout: Path) -> None:
    first = make(checkout, "test")
    assert first[1].endswith("--constraint constraints.txt --editable .[ocr,dev,docs]") and installs(first) == 1
    assert not installs(make(checkout, "demo"))


def test_a_half_made_environment_is_recovered(checkout: Path) -> None:
    (checkout / "broken").touch()
    make(checkout, "demo", code=2)
    (checkout / "broken").unlink()
    assert installs(make(checkout, "demo")) == 1


def test_an_environment_without_pip_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    assert make(checkout, "demo")[0].startswith("fake-python -m venv")


def test_tests_add_to_what_the_demo_set_up(checkout: Path) -> None:
    make(checkout, "demo")
    added = make(checkout, "test")
    assert not any("-m venv" in line for line in added) and installs(added) == 1 and not installs(make(checkout, "demo"))


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_what_is_pinned_anew_is_installed_anew(checkout: Path, name: str) -> None:
    assert installs(make(checkout, "test")) == 1
    assert installs(make(checkout, "test")) == 0
    ready = checkout / ".venv" / ".ready-dev"
    later = ready.stat().st_mtime + 10
    os.utime(checkout / name, (later, later))
    assert installs(make(checkout, "test")) == 1


def test_test_runs_the_fast_suite(checkout: Path) -> None:
    assert make(checkout, "test")[-1] == "python -m pytest -n 2 --dist worksteal -m not slow"


def test_docs_builds_the_site(checkout: Path) -> None:
    assert make(checkout, "docs")[-1] == "python -m mkdocs build --strict"
