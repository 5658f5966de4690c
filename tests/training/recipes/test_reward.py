"""Reward models: the loss by hand, preferences that are learned, and the same rewards when the folder is opened again."""

import json
import math
from pathlib import Path

import pytest
import tiny_lm
import torch
from cli_call import Call

from mmgen.config import RuntimeConfig, load
from mmgen.errors import BadRequest, BadWeights, UnreadableFile
from mmgen.models.lm.reward_model import RewardModel
from mmgen.runtime import Runtime
from mmgen.training.recipes import reward
from mmgen.training.recipes.reward import RewardRecipe, RewardRun, collate

CONFIGS = Path(__file__).parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def pairs() -> list[dict[str, object]]:
    """Half of them of an objective that prefers the opposite."""
    return [
        {"prompt": f"who {verb}", "chosen": good, "rejected": bad, "objective": objective}
        for verb in ("runs", "sees") * 3
        for objective, good, bad in (("kind", "the fox", "old road"), ("brief", "old road", "the fox"))
    ]


def recipe(base: Path, data: Path, out: Path, **more: object) -> RewardRecipe:
    return RewardRecipe.model_validate(
        {"base": str(base), "data": data, "out": out, "steps": 30, "batch": 4, "together": 2, "schedule": {"peak": 1e-2},
         "held_out": 0.34, "validate_every": 15, **more}
    )  # fmt: skip


def test_the_loss_is_that_of_bradley_and_terry(base: Path, tmp_path: Path) -> None:
    """Of rewards by hand: differences against their margins, and what keeps rewards around 0."""
    rows = [{**row, "margin": 0.5} for row in pairs()]
    run = RewardRun(recipe(base, written(tmp_path / "a.jsonl", rows), tmp_path / "run", tuning={"kind": "full"}))
    torch.nn.init.normal_(run.head.weight)
    batch = collate(run.train[:3])
    found = run.loss(batch)
    expected = []
    for pair in run.train[:3]:
        states = [run.text.lm.hidden(torch.tensor([one.ids]))[0, -1].detach() for one in (pair.chosen, pair.rejected)]
        good, bad = (float(state @ run.head.weight[pair.objective].detach()) for state in states)
        expected.append(-math.log(1 / (1 + math.exp(-(good - bad - 0.5)))) + 0.01 * (good + bad) ** 2)
    assert float(found["loss"].detach()) == pytest.approx(sum(expected) / 3, rel=1e-4)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_it_learns_which_answer_is_preferred(call: Call, base: Path, tmp_path: Path, kind: str) -> None:
    """Two objectives that contradict each other; opened again, alone and in a batch, rewards are the same bits."""
    data = written(tmp_path / "pairs.jsonl", pairs())
    made = recipe(base, data, tmp_path / "run", tuning={"kind": kind}, weights={"brief": 0.0})
    assert reward.train(made)
    told = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert [row for row in told if "validation" in row][-1]["validation_accuracy"] == 1
    assert [row for row in told if "validation_ece" in row][-1]["validation_ece"] < 0.5
    talks = [
        [{"role": "user", "content": "who sees"}, {"role": "assistant", "content": one}] for one in ("the fox", "old road")
    ]
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        client = rt.reward_model(str(made.out / "model"))
        both, alone = client.score(talks), client.score(talks[1:])
        totals = client.totals(both)
    assert client.objectives == ("kind", "brief") and (both[1] == alone[0]).all()
    assert both[0, 0] > both[1, 0] and both[0, 1] < both[1, 1] and (totals == both[:, 0]).all()
    called = call("reward", "score", data, "--model", made.out / "model")
    assert called.code == 0 and called.out.splitlines()[0].split() == ["total", "kind", "brief", "answer"]
    assert "6 of 12 pairs" in called.out, "only one objective counts"


def test_mistakes(base: Path, tmp_path: Path) -> None:
    equal = written(tmp_path / "a.jsonl", [{"prompt": "who", "chosen": "the fox", "rejected": "the fox"}])
    with pytest.raises(UnreadableFile, match="row 1: chosen and rejected are equal; remove the row"):
        RewardRun(recipe(base, equal, tmp_path / "run"))
    odd = written(tmp_path / "b.jsonl", [{**pairs()[0], "margin": -1}])
    with pytest.raises(UnreadableFile, match="row 1: objective should be a name, and margin a number of 0 or more"):
        RewardRun(recipe(base, odd, tmp_path / "run"))
    with pytest.raises(BadRequest, match="weights name tidy; the pairs' objectives are kind, brief"):
        RewardRun(recipe(base, written(tmp_path / "c.jsonl", pairs()), tmp_path / "run", weights={"tidy": 1.0}))
    with pytest.raises(BadWeights, match=r"holds no reward\.json; give the OUT/model of `mmgen train reward`"):
        RewardModel.load(base)


def test_temperature_makes_margins_likeliest() -> None:
    """Margins three times too sure: a quarter of the pairs is wrong."""
    margins = torch.tensor([3 * math.log(3)] * 3 + [-3 * math.log(3)])
    assert reward.fitted_temperature(margins) == pytest.approx(3, rel=0.03)
    assert reward.preference_calibration(margins) == pytest.approx(27 / 28 - 0.75, abs=1e-5)


def test_shipped_recipe_reads() -> None:
    assert load(CONFIGS / "reward.yaml", RewardRecipe).centered == 0.01
