"""Clients of made-up languages: what they learn together, whom a round goes on without, and what a stopped run ends with."""

import json
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import certificates
import pytest
import tiny_corpus
import torch

from mmgen.errors import BadRequest, ConfigError, NotFound
from mmgen.models.checkpoints import safetensors_io
from mmgen.training.federated import fleets, rounds, tasks, tokens
from mmgen.training.federated.fleets import Answers, SimulatedFleet
from mmgen.training.federated.messages import Message
from mmgen.training.federated.recipe import FederatedRecipe
from mmgen.training.recipes import federated, language_model, text_tuning
from mmgen.training.recipes.language_model import LanguageModelRecipe
from mmgen.training.run_log import RunLog

OTHER = "ein der Hase Huhn Bauer Fluss Wald Mond rennt sieht folgt findet alt jung rot und unter".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clients: two languages, and one with much less."""
    folder = tmp_path_factory.mktemp("clients")
    rng = random.Random(1)
    tiny_corpus.write(folder / "english")
    tiny_corpus.write(folder / "german", [" ".join(rng.choices(OTHER, k=80)) for _ in range(24)])
    tiny_corpus.write(folder / "small", [" ".join(rng.choices(OTHER, k=60)) for _ in range(8)])
    return folder


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = LanguageModelRecipe(
        data=data / "english", out=tmp_path_factory.mktemp("base"), tokenizer={"vocabulary": 300}, held_out=0.15,
        model=tiny_corpus.MODEL, steps=1, batch=4, validate_every=1, sample_tokens=2, family="",
    )  # fmt: skip
    assert language_model.train(recipe)
    return recipe.out / "model"


@pytest.fixture(autouse=True)
def plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test is enough to draw."""
    if request.node.name != "test_clients_learn_together":
        monkeypatch.setattr(RunLog, "plot", lambda self, names, ylabel: None)


@pytest.fixture
def recipe(base: Path, data: Path, tmp_path: Path) -> FederatedRecipe:
    return recipe_of(base, data, tmp_path / "run")


def recipe_of(base: Path, data: Path, out: Path, **more: object) -> FederatedRecipe:
    local = {
        "base": str(base), "batch": 4, "held_out": 0.15, "validation_rows": 3, "schedule": {"peak": 2e-2},
        "tuning": {"kind": "lora", "rank": 4},
    }  # fmt: skip
    values: dict[str, object] = {"rounds": 2, "local_steps": 2, "recipe": local, "validate_every": 2}
    return FederatedRecipe(**{**values, "data": data, "out": out, **more})  # type: ignore[arg-type]


def history(recipe: FederatedRecipe) -> list[dict[str, object]]:
    return [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]


def weights(recipe: FederatedRecipe) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = safetensors_io.read(recipe.out / "checkpoint" / "weights.safetensors")
    return found


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_clients_learn_together(base: Path, data: Path, tmp_path: Path) -> None:
    """All weights of a model, unequal clients, an epoch each: the mean over examples goes down for every client."""
    recipe = recipe_of(base, data, tmp_path / "run", rounds=3, epochs=1.0, validate_every=1)
    recipe = recipe.model_copy(update={"recipe": {**recipe.recipe, "tuning": {"kind": "full"}}})
    assert federated.train(recipe)
    rows = history(recipe)
    before, after = rows[0]["validation_of"], rows[-1]["validation_of"]
    assert all(after[name] < before[name] - 0.1 for name in ("english", "german", "small"))  # type: ignore[index]
    assert rows[-1]["answers"] == 3 and rows[0]["sent_bytes"] == rows[0]["received_bytes"] == 3 * 4 * sum(
        one.numel() for one in weights(recipe).values()
    )
    assert (recipe.out / "loss.png").is_file() and (recipe.out / "model" / "model.safetensors").is_file()


def test_a_stopped_run_ends_with_the_same_bits(base: Path, data: Path, tmp_path: Path) -> None:
    """LoRA alone, by FedAdam, with clients that drop out."""
    more = {"strategy": {"kind": "fedadam"}, "simulate": {"dropout": 0.3}, "least": 1, "rounds": 3, "validate_every": 3}
    whole, stopped = (recipe_of(base, data, tmp_path / name, **more) for name in ("whole", "stopped"))
    assert federated.train(whole)
    calls = 1
    while not federated.train(stopped, stop_after_minutes=0):
        calls += 1
    assert calls == 3 and same(weights(whole), weights(stopped))
    assert [row["loss"] for row in history(whole)] == [row["loss"] for row in history(stopped)]
    assert all("down" in name or "up" in name for name in weights(whole)), "of LoRA alone"
    assert (whole.out / "model" / "adapter_config.json").is_file()


class Spoiled(SimulatedFleet):
    """Its clients' answers, some of them replaced."""

    answers: Mapping[str, Message | str]
    evaluations: Mapping[str, Message | str]

    def ask(self, questions: Mapping[str, Message]) -> Answers:
        found = super().ask(questions)
        return {name: (self.answers if one_is_fit(one) else self.evaluations).get(name, one) for name, one in found.items()}


def one_is_fit(answer: Message | str) -> bool:
    return isinstance(answer, Message) and answer.kind == "fit"


def test_a_round_goes_on_without_who_sends_garbage(
    recipe: FederatedRecipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = recipe.model_copy(update={"rounds": 1, "validate_every": 1, "least": 1})
    bad = Message("fit", 0, {"examples": 5, "loss": 1.0}, {"x": torch.zeros(1)})
    monkeypatch.setattr(Spoiled, "answers", {"german": bad, "small": "late; it is asked again"}, raising=False)
    nonsense = {
        name: Message("evaluate", 0, {"examples": many, "validation": 1.0}) for name, many in (("german", "x"), ("small", 0))
    }
    monkeypatch.setattr(Spoiled, "evaluations", nonsense, raising=False)
    monkeypatch.setattr(federated, "SimulatedFleet", Spoiled)
    assert federated.train(recipe)
    assert "round 1 without german: its update lacks" in caplog.text
    assert "round 1 without small: late; it is asked again" in caplog.text
    assert "round 1 is not evaluated by german" in caplog.text
    assert [(row["answers"], [*row["validation_of"]]) for row in history(recipe)] == [(1, ["english"])]  # type: ignore[misc]


@pytest.fixture
def server(recipe: FederatedRecipe) -> rounds.FederatedServer:
    """With two weights and three clients that answer nothing by themselves."""
    recipe.out.mkdir()
    fleet = SimulatedFleet(recipe, dict.fromkeys(("a", "b", "c")))  # type: ignore[arg-type]
    return rounds.FederatedServer(recipe, fleet, {"w": torch.zeros(2)})


def answer(value: float, **more: object) -> Message:
    return replace(Message("fit", 0, {"examples": 5, "loss": 1.0}, {"w": torch.full((2,), float(value))}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (answer(float("nan")), "of w holds nan or inf"),
        (answer(1, tensors={"w": torch.zeros(3)}), r"of w is \(3,\)"),
        (answer(1, round=5), "answers fit of round 6"),
        (answer(1, kind="evaluate"), "answers evaluate of round 1"),
        (answer(1, values={"examples": -1, "loss": 1.0}), "says that it has -1 examples"),
        (answer(1, kind="failed", values={"why": "no data"}), "no data"),
        ("dropped out", "dropped out"),
    ],
)
def test_who_is_refused_is_named(
    sent: Message | str, told: str, server: rounds.FederatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(server.accepted({"a": answer(1), "b": sent, "c": answer(2)})) == {"a", "c"}
    assert re.search(f"round 1 without b: .*{told}", caplog.text)


def test_rounds_without_answers_end_the_run(server: rounds.FederatedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "answered", lambda client, question: Message("failed", 0, {"why": "no"}))
    server.recipe = server.recipe.model_copy(update={"rounds": 9})
    with pytest.raises(BadRequest, match=r"3 rounds in a row had fewer than 2 answers"):
        server.run()
    assert server.number == 3 and torch.equal(server.weights["w"], torch.zeros(2))


def test_some_clients_are_asked(server: rounds.FederatedServer) -> None:
    server.recipe = server.recipe.model_copy(update={"share": 0.67})
    picks = set()
    for server.number in range(12):
        chosen = server.chosen()
        assert chosen == server.chosen() and len(chosen) == 2
        picks.add(tuple(chosen))
    assert picks == {("a", "b"), ("a", "c"), ("b", "c")}


def test_late_and_dropped_clients_by_the_seed(recipe: FederatedRecipe) -> None:
    recipe = recipe.model_copy(update={"simulate": recipe.simulate.model_copy(update={"dropout": 0.3, "late": 0.3})})
    absent = [fleets.simulated_absence(recipe, "a", Message("fit", number)) for number in range(100)]
    assert absent == [fleets.simulated_absence(recipe, "a", Message("fit", number)) for number in range(100)]
    assert {*absent} == {"", "dropped out", "late; it is asked again"}
    assert not fleets.simulated_absence(recipe, "a", Message("evaluate", 0))


@pytest.mark.slow
def test_clients_of_ray_have_the_same_bits(base: Path, data: Path, tmp_path: Path) -> None:
    """On one thread each: actors share the threads of this process."""
    pytest.importorskip("ray")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here, there = (recipe_of(base, data, tmp_path / name, simulate={"actors": int(name)}) for name in ("0", "2"))
        assert federated.train(here) and federated.train(there)
    finally:
        torch.set_num_threads(threads)
    assert same(weights(here), weights(there)) and history(there)[-1]["answers"] == 3


def test_privacy_and_what_it_spends(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A round that is done again after a kill has the noise it had, as the secret lies with the checkpoint."""
    monkeypatch.setattr(rounds, "epsilon", lambda config, share, number: number * share)  # opacus takes seconds to import
    more = {"strategy": {"weigh": "equally"}, "privacy": {"noise": 1.0, "quantile": None}, "rounds": 2, "least": 1}
    recipe = recipe_of(base, data, tmp_path / "run", **more)
    assert not federated.train(recipe, stop_after_minutes=0)
    shutil.copytree(recipe.out, tmp_path / "copy")
    again = recipe.model_copy(update={"out": tmp_path / "copy"})
    assert federated.train(recipe) and federated.train(again)
    assert same(weights(recipe), weights(again))
    assert [row["epsilon"] for row in history(recipe)] == [1.0, 2.0]
    assert "2 rounds will spend epsilon 2 at delta 1e-05" in caplog.text
    assert (recipe.out / "checkpoint" / "state.json").stat().st_mode & 0o077 == 0
    with pytest.raises(BadRequest, match=r"set strategy.weigh to equally"):
        federated.train(recipe_of(base, data, tmp_path / "other", privacy={"noise": 1.0}))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"data": None}, "data is None; give a folder"),
        ({"clients": ("english", "french")}, "holds no french; its clients are english, german, small"),
        ({"clients": ("english",)}, "has 1 clients, a round needs at least 2"),
        ({"task": "txets"}, r'task is txets \(did you mean "texts"\?\)'),
        ({"task": "lm", "recipe": {"model": {}}}, "set recipe.tokenizer.file"),
        ({"recipe": {"base": "x", "out": "y"}}, "recipe has out"),
    ],
)
def test_what_cannot_be_learned(more: dict[str, object], told: str, recipe: FederatedRecipe) -> None:
    with pytest.raises(BadRequest, match=told):
        federated.train(recipe.model_copy(update=more))


def test_every_task_is_there() -> None:
    for module, recipe_class, run_class in tasks.TASKS.values():
        found = import_module(f"mmgen.training.recipes.{module}")
        assert hasattr(found, recipe_class) and hasattr(found, run_class)


def test_texts_for_a_prefix_or_longer_rows(recipe: FederatedRecipe) -> None:
    assert recipe.data is not None
    given = {"base": recipe.recipe["base"], "steps": 1, "data": recipe.data / "small", "out": recipe.out}
    for more, told in (({"tuning": {"kind": "prefix"}}, "take lora or full"), ({"row": 99}, "row is 99 tokens, .* reads 32")):
        with pytest.raises(BadRequest, match=told):
            text_tuning.TextTuningRun(text_tuning.TextTuningRecipe(**given, **more))  # type: ignore[arg-type]


def test_a_task_s_own_mistakes_are_told(recipe: FederatedRecipe) -> None:
    with pytest.raises(ConfigError, match="bach"):
        federated.train(recipe.model_copy(update={"recipe": {**recipe.recipe, "bach": 3}}))


def test_another_run_s_folder(recipe: FederatedRecipe) -> None:
    federated.begin(recipe, ["a", "b"])
    federated.begin(recipe.model_copy(update={"simulate": recipe.simulate.model_copy(update={"actors": 2})}), ["a", "b"])
    with pytest.raises(BadRequest, match="a run with another seed, 0 and not 1"):
        federated.begin(recipe.model_copy(update={"seed": 1}), ["a", "b"])


@pytest.mark.parametrize(
    ("host", "cert", "key", "told"),
    [
        ("0.0.0.0", None, None, "0.0.0.0 without TLS would send weights and tokens in the clear"),
        ("127.0.0.1", "tokens", None, "give both --cert and --key"),
        ("127.0.0.1", "tokens", "none", "none is no file"),
        ("127.0.0.1", "tokens", "tokens", "are no pair for TLS"),
        ("192.0.2.1", "cert", "key", "cannot be had"),
    ],
)
def test_what_cannot_be_opened(
    host: str, cert: str | None, key: str | None, told: str, recipe: FederatedRecipe, tmp_path: Path
) -> None:
    tokens.read_or_make(tmp_path / "tokens", ["a", "b"])
    files = dict(zip(("cert", "key"), certificates.pair(tmp_path), strict=True)) if cert == "cert" else {}
    paths = [None if name is None else files.get(name, tmp_path / name) for name in (cert, key)]
    with pytest.raises((BadRequest, NotFound), match=told), federated.opened(recipe, host, 0, tmp_path / "tokens", *paths):
        pass


def test_both_sides_agree_on_their_recipe(recipe: FederatedRecipe) -> None:
    """Where the base model lies and where the run is written may differ."""
    other = recipe.model_copy(update={"out": Path("x"), "recipe": {**recipe.recipe, "base": "elsewhere"}})
    assert other.digest() == recipe.digest() != recipe.model_copy(update={"local_steps": 9}).digest()
