"""YAML to frozen models: what is wrong is told in one line with file, key and remedy."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mmgen import config
from mmgen.config import Config, RuntimeConfig, load, load_runtime, with_overrides
from mmgen.errors import ConfigError, NotFound


class Optimizer(Config):
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)


class Recipe(Config):
    name: str
    optimizer: Optimizer = Optimizer()
    stages: tuple[Optimizer, ...] = ()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_a_frozen_model(tmp_path: Path) -> None:
    recipe = load(written(tmp_path, "name: reader\noptimizer: {lr: 1e-3}"), Recipe)
    assert recipe == Recipe(name="reader", optimizer=Optimizer(lr=0.001))
    with pytest.raises(ValidationError, match="frozen"):
        recipe.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nam: reader", 'unknown key "nam" (did you mean "name"?) (and 1 more)'),
        ("name: x\noptimizer: {lrr: 1}", 'unknown key "optimizer.lrr" (did you mean "lr"?)'),
        ("name: x\nzzzzz: 1", 'unknown key "zzzzz" (known: name, optimizer, stages)'),
        ("name: x\nstages: [{}, {beta: [1, 2]}]", 'unknown key "stages.1.beta" (did you mean "betas"?)'),
        ("{}", '"name" is missing'),
        ("name: x\noptimizer: {lr: fast}", "optimizer.lr is 'fast', expected a valid number"),
        ("name: [", "line 1: not valid YAML"),
        ("- 1", 'holds a list; it should hold lines of the form "key: value"'),
        ("name: \x01", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load(path, Recipe)
    assert told in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist; check the path"):
        load(tmp_path / "none.yaml", Recipe)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, Recipe)
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(ConfigError, match="should be a YAML file in UTF-8"):
        load(tmp_path / "latin.yaml", Recipe)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing\n"), RuntimeConfig) == RuntimeConfig()


def test_overrides_reach_into_sections() -> None:
    recipe = load({"name": "x"}, Recipe, ["optimizer.lr=1e-3", "name=y", "optimizer.betas=[0.5, 0.6]"])
    assert recipe == Recipe(name="y", optimizer=Optimizer(lr=1e-3, betas=(0.5, 0.6)))
    assert with_overrides(recipe, ["name=a=b"]).name == "a=b" and recipe.name == "y"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("lr", 'override "lr" is not of the form key=value'),
        ("=1", "is not of the form key=value"),
        ("name.first=1", 'name is a single value and has no key "first"'),
        ("name=[", "the value is not valid YAML"),
        ("optimizer.l=1", 'unknown key "optimizer.l" (did you mean "lr"?)'),
    ],
)
def test_bad_overrides(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({"name": "x"}, Recipe, [override])
    assert told in str(error.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices(device: str) -> None:
    assert RuntimeConfig(device=device).device == device


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("device", "gpu", "device is 'gpu', expected auto, cpu, cuda, cuda:N or mps"),
        ("device", "cpu:1", "expected auto"),
        ("threads", 0, "threads is 0, expected greater than or equal to 1"),
        ("memory_limit", "plenty", "memory_limit is 'plenty', expected a size such as 8 GiB"),
    ],
)
def test_runtime_values_out_of_range(key: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({key: value}, RuntimeConfig)
    assert told in str(error.value)


def test_sizes_have_units() -> None:
    assert load({"memory_limit": "2 GiB"}, RuntimeConfig).memory_limit == 2 << 30


def test_the_homes_own_configuration_is_read(home: Path) -> None:
    assert load_runtime() == RuntimeConfig()
    home.mkdir()
    (home / "config.yaml").write_text("threads: 1\nstore: ~/notes\n")
    assert load_runtime().threads == 1 and load_runtime().store == Path.home() / "notes"
    assert load_runtime(overrides=["threads=2"]).threads == 2
    assert load_runtime(written(home, "device: cpu")).threads is None


def test_home_follows_the_environment_and_the_platform(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.home() == home
    monkeypatch.setenv("MMGEN_HOME", "~/mm")
    assert config.home() == Path.home() / "mm"
    monkeypatch.delenv("MMGEN_HOME")
    assert config.home().name == "mmgen"


def test_the_recipes_that_we_ship_are_found() -> None:
    assert (config.configs_dir() / "train").is_dir() and config.assets_dir().is_dir()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 20_000 + "]" * 20_000, "nested deeper than 30"),
        ("a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [{', '.join(['*' + (f'k{n - 1}' if n else 'a')] * 9)}]\n" for n in range(9)),
         "over 50,000 values"),
        ("name: " + "x" * 2**20, "more than the 1,048,576"),
        ("name: 2024-13-45", "month must be"),
    ],
    ids=["nested", "aliases", "large", "no date"],
)  # fmt: skip
def test_bombs(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(written(tmp_path, text), Recipe)


def test_aliases_are_values() -> None:
    assert config.parse_yaml("a: &a {lr: 1}\nb: *a\nc: [*a, *a]") == {"a": {"lr": 1}, "b": {"lr": 1}, "c": [{"lr": 1}] * 2}
