"""The wheel, installed outside the checkout: assets and configurations travel in it."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MMGEN", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def mmgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command of an empty environment. Its dependencies are this environment's, by path; mmgen is not."""
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT, cwd=place)
    (wheel,) = place.glob("mmgen-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not read
    return place / "venv" / "bin" / "mmgen"


def test_it_is_the_wheels(mmgen: Path, tmp_path: Path) -> None:
    where = run(mmgen.with_name("python"), "-c", "import mmgen; print(mmgen.__file__)", cwd=tmp_path)
    assert where.startswith(str(mmgen.parents[1]))
    for name in ("kernels.c", "blocks.c", "blocks.h"):
        assert (Path(where).parent / "models" / "cpu" / name).is_file(), "compiled where it runs"


def test_assets_and_configurations_travel(mmgen: Path, tmp_path: Path) -> None:
    code = "from mmgen.config import assets_dir, configs_dir; print(assets_dir(), configs_dir())"
    assets, configs = map(Path, run(mmgen.with_name("python"), "-c", code, cwd=tmp_path).split())
    assert mmgen.parents[1] in assets.parents and (assets / "sample" / "tea.md").is_file()
    assert (assets / "models" / "reader" / "model.safetensors").is_file()
    assert (configs / "train" / "reader-cpu.yaml").is_file()
    assert (assets.parent / "py.typed").is_file()


def test_it_works_outside_the_checkout(mmgen: Path, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    (tmp_path / "lamp.txt").write_text("The lamp of the tower was first lit in 1823.")
    assert "embedded:reader" in run(mmgen, "models", cwd=tmp_path, MMGEN_HOME=home)
    assert "nothing is wrong" in run(mmgen, "doctor", cwd=tmp_path, MMGEN_HOME=home)
    run(mmgen, "rag", "add", "lamp.txt", cwd=tmp_path, MMGEN_HOME=home)
    answer = run(mmgen, "rag", "ask", "When was the lamp first lit?", "--threshold", "0", cwd=tmp_path, MMGEN_HOME=home)
    assert "1823" in answer
