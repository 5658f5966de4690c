import json
from pathlib import Path

from emoji_folder import THINGS, make
from typer.testing import CliRunner

from mmgen.cli.training.data import app
from mmgen.errors import NotFound


def test_a_folder_is_checked(tmp_path: Path) -> None:
    folder = make(tmp_path / "set")
    called = CliRunner().invoke(app, ["emoji", str(folder)])
    assert called.exit_code == 1 and f"noto            {len(THINGS)} images  Apache-2.0" in called.output
    assert "this is not the pinned set" in called.output
    found = json.loads(CliRunner().invoke(app, ["emoji", str(folder), "--json"]).output)
    assert found["counts"] == {"noto": len(THINGS), "twemoji": len(THINGS)}


def test_building_needs_its_packages(tmp_path: Path) -> None:
    called = CliRunner().invoke(app, ["emoji", str(tmp_path / "set"), "--packages", str(tmp_path), "--json"])
    assert isinstance(called.exception, NotFound) and not (tmp_path / "set").exists()
