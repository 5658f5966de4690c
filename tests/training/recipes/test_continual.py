"""Two made-up languages, one after the other: what each method keeps of the first, and what a stopped sequence ends with."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_corpus
import torch

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.lm.text_model import TextModel
from mmgen.training import loop
from mmgen.training.eval.loss_matrix import LossMatrix
from mmgen.training.recipes import continual, language_model
from mmgen.training.recipes.continual import ContinualRecipe, ContinualTask
from mmgen.training.recipes.language_model import LanguageModelRecipe
from mmgen.training.run_log import RunLog

OTHER = "ein der Hase Huhn Bauer Fluss Wald Mond rennt sieht folgt findet alt jung rot und unter".split()  # noqa: SIM905


@pytest.fixture(scope="module", autouse=True)
def bare_loop() -> Iterator[None]:
    """Curves and costs of each task's run are tested with the loop; they would take longer than the learning here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLog, "plot", lambda *_: None)
        patch.setattr(loop, "_flops_per_row", lambda *_: 1.0)
        patch.setattr(loop, "_tell_cost", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rng = random.Random(1)
    tiny_corpus.write(folder / "1-english")
    tiny_corpus.write(folder / "2-german", [" ".join(rng.choices(OTHER, k=80)) for _ in range(24)])
    return folder


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = LanguageModelRecipe(
        data=data / "1-english", out=tmp_path_factory.mktemp("base"), tokenizer={"vocabulary": 300}, held_out=0.15,
        model=tiny_corpus.MODEL, steps=1, batch=4, validate_every=1, sample_tokens=2, family="",
    )  # fmt: skip
    assert language_model.train(recipe)
    return recipe.out / "model"


def sequence(base: Path, data: Path, out: Path, **more: object) -> ContinualRecipe:
    values: dict[str, object] = {
        "steps": 15, "batch": 8, "schedule": {"peak": 3e-2}, "validation_rows": 3, "probe": 8, "held_out": 0.15,
    }  # fmt: skip
    return ContinualRecipe(base=str(base), data=data, out=out, fisher_rows=8, **{**values, **more})


def rows(recipe: ContinualRecipe) -> list[list[float]]:
    found: list[list[float]] = json.loads((recipe.out / "losses.json").read_text())["rows"]
    return found


@pytest.fixture(scope="module")
def plain(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> ContinualRecipe:
    recipe = sequence(base, data, tmp_path_factory.mktemp("none"), method="none")
    assert continual.train(recipe)
    return recipe


def test_without_a_method_the_first_is_forgotten(plain: ContinualRecipe) -> None:
    before, first, last = rows(plain)
    assert first[0] < before[0] - 0.5 and last[1] < first[1] - 0.5 and last[0] > first[0] + 0.5
    assert "| after 1-english |" in (plain.out / "report.md").read_text() and (plain.out / "losses.png").is_file()
    assert TextModel.load(plain.out / "model").lm.config.layers == 2


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("replay", {}),
        ("ewc", {"strength": 300.0}),
        ("lwf", {"strength": 1.0}),
        ("lora", {"rank": 16, "alpha": 96.0, "steps": 30}),
    ],
)
def test_a_method_keeps_more(
    method: str,
    more: dict[str, float],
    plain: ContinualRecipe,
    base: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LossMatrix, "plot", lambda *_: None)  # the plain sequence has drawn one
    recipe = sequence(base, data, tmp_path / method, method=method, **more)
    assert continual.train(recipe)
    found, without = rows(recipe), rows(plain)
    assert found[-1][0] - found[1][0] < without[-1][0] - without[1][0] - 0.2, "less of the first task is forgotten"
    assert found[-1][1] < found[0][1] - 0.1, "and the second was learned"
    if method == "lora":
        assert {one.name for one in (recipe.out / "model").iterdir()} == {"1-english", "2-german"}


@pytest.mark.parametrize(
    ("batch", "processes", "share", "again"), [(8, 1, 0.25, 2), (4, 1, 0.25, 1), (4, 2, 0.9, 1), (2, 1, 0.1, 1)]
)
def test_every_earlier_task_has_its_turn(batch: int, processes: int, share: float, again: int) -> None:
    """Rows are what `batch` was asked for: of four tasks the last one is learned."""
    seen: list[list[int]] = [[] for _ in range(4)]

    class Rows:
        def __init__(self, task: int) -> None:
            self.task = task

        def batch(self, numbers: list[int]) -> int:
            seen[self.task] += numbers
            return len(numbers)

    task = object.__new__(ContinualTask)
    task.recipe = ContinualRecipe(base="x", steps=12, batch=batch, replay=share)
    task.number, task.rows = 3, [Rows(number) for number in range(4)]  # type: ignore[misc]
    for step in range(12):
        for process in range(processes):
            parts = task.parts(step, process, processes)
            assert sum(share for _, share in parts) == pytest.approx(1)
    assert [sorted(numbers) for numbers in seen[:3]] == [list(range(12 * processes * again // 3))] * 3
    assert sorted(seen[3]) == list(range(12 * (batch - processes * again)))


@pytest.mark.parametrize("method", ["ewc", "lora"])
def test_a_stopped_sequence_ends_with_the_same_bits(
    method: str, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossMatrix, "plot", lambda *_: None)
    whole, stopped = (sequence(base, data, tmp_path / name, method=method, steps=2) for name in ("whole", "stopped"))
    assert continual.train(whole)
    calls = 1
    while not continual.train(stopped, stop_after_minutes=0):
        calls += 1
    assert calls > 2
    first, second = (
        safetensors_io.read(recipe.out / "2-2-german" / "checkpoint" / "model.safetensors") for recipe in (whole, stopped)
    )
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert rows(whole) == rows(stopped)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"tasks": ("1-english",)}, "at least two different"),
        ({"tasks": ("1-english", "3-french")}, "holds no 3-french; its tasks are 1-english, 2-german"),
        ({"row": 4}, "more than the probe's 8"),
        ({"method": "lwf"}, "another method none, not lwf"),
        ({"seed": 1}, "another seed 0, not 1"),
        ({"method": "replay", "batch": 1}, "needs at least 2 rows"),
    ],
)
def test_what_cannot_be_learned(more: dict[str, object], told: str, plain: ContinualRecipe) -> None:
    with pytest.raises(BadRequest, match=told):
        continual.train(plain.model_copy(update=more))


def test_another_tokenizer(plain: ContinualRecipe, tmp_path: Path) -> None:
    about = json.loads((plain.out / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**about, "tokenizer": "{}"}))
    with pytest.raises(BadRequest, match="a run with another tokenizer; give another folder"):
        continual.train(plain.model_copy(update={"out": tmp_path}))
