"""The wheel, installed outside the checkout: assets and configurations travel in it; built twice it is the same."""

from pathlib import Path

import pytest
from built_wheel import build, installed, run

pytestmark = pytest.mark.slow
MOST_BYTES = 100 * 2**20
"""What package indexes take."""


@pytest.fixture(scope="module")
def mmgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("wheel"))


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    """Whenever and in whichever folder: dates come from SOURCE_DATE_EPOCH, or are fixed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = build(tmp_path / "a", SOURCE_DATE_EPOCH="1700000000", TZ="UTC")
    second = build(tmp_path / "b", SOURCE_DATE_EPOCH="1700000000", TZ="Asia/Tokyo")
    assert [path.suffix for path in first] == [".whl", ".gz"] or [path.suffix for path in first] == [".gz", ".whl"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert all(path.stat().st_size < MOST_BYTES for path in first), [(path.name, path.stat().st_size) for path in first]


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
