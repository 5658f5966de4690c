"""`mmgen train`: every recipe has its command, its values are checked, and a stopped run says how it resumes."""

from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from mmgen.cli.commands import load
from mmgen.cli.training import train
from mmgen.errors import ConfigError
from mmgen.training.recipes.upscaler import UpscalerRecipe

OTHERS = ("reader", "router", "tokenizer", "federated-server", "federated-client")


def test_every_recipe_is_a_command() -> None:
    assert set(load("train").commands) == {*train.RECIPES, *OTHERS}
    for module, recipe_class, _ in train.RECIPES.values():
        found = import_module(f"mmgen.training.recipes.{module}")
        assert issubclass(getattr(found, recipe_class), BaseModel) and callable(found.train)


def test_options_override_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: 5\nbatch: 2\n")
    recipe = train.read(tmp_path / "a.yaml", UpscalerRecipe, tmp_path / "data", None, ["batch=4"])
    assert (recipe.steps, recipe.batch, recipe.data, recipe.out) == (5, 4, tmp_path / "data", Path("runs/upscaler"))
    with pytest.raises(ConfigError, match="batsch"):
        train.read(tmp_path / "a.yaml", UpscalerRecipe, None, None, ["batsch=4"])


def test_a_stopped_run_says_where_it_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.report(True, tmp_path) and not train.report(False, tmp_path)
    assert capsys.readouterr().out == f"stopped; the same command resumes from {tmp_path / 'checkpoint'}\n"


def test_a_whole_run_names_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmgen.training.recipes import upscaler

    monkeypatch.setattr(upscaler, "train", lambda recipe, stop_after_minutes: stop_after_minutes is None)
    (tmp_path / "a.yaml").write_text("steps: 5\n")
    run = train.recipe_command("upscaler", "UpscalerRecipe")
    run(tmp_path / "a.yaml", None, tmp_path / "run")
    assert capsys.readouterr().out == f"model: {tmp_path / 'run' / 'model'}\n"
