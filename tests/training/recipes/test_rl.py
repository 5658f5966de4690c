"""Policies that come to answer as they are rewarded for, by each algorithm, and runs that are resumed to the bit."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_lm
import torch

from mmgen.config import RuntimeConfig, load, with_overrides
from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.runtime import Runtime
from mmgen.training.recipes import rl
from mmgen.training.recipes.rl import RLRecipe, RLRun
from mmgen.training.rl.rewards import RewardedAnswer

CONFIGS = Path(__file__).parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"who {verb}"}) for verb in ("runs", "sees", "follows", "finds") * 2))
    return path


def letters(answers: Sequence[RewardedAnswer]) -> list[float]:
    """The share of an answer that is lower-case letters."""
    return [sum("a" <= letter <= "z" for letter in one.text) / max(1, len(one.text)) for one in answers]


def one(answers: Sequence[RewardedAnswer]) -> list[float]:
    return [1.0 for _ in answers]


def recipe(base: Path, data: Path, out: Path, **more: object) -> RLRecipe:
    return RLRecipe.model_validate(
        {"base": str(base), "data": data, "out": out, "rewards": [{"kind": "python", "target": f"{__name__}:letters"}],
         "answers": 4, "max_tokens": 6, "steps": 24, "batch": 4, "together": 8, "schedule": {"peak": 2e-2}, "held_out": 0.25,
         "weight_decay": 0.0, "validate_every": 8, "tuning": {"kind": "lora"}, **more}
    )  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        {"algorithm": "grpo", "iterations": 2, "mean": "token"},
        {"algorithm": "rloo"},
        {"algorithm": "ppo", "value_weight": 0.01},
    ],
    ids=lambda more: more["algorithm"],
)
def test_what_is_rewarded_becomes_likelier(base: Path, data: Path, tmp_path: Path, more: dict[str, object]) -> None:
    """The mean of the first five steps, and of the last."""
    made = recipe(
        base, data, tmp_path / "run", beta=0.001, answers=8, steps=20, schedule={"peak": 3e-2, "warmup": 0.0},
        tuning={"kind": "full"}, validate_every=20, **more,
    )  # fmt: skip
    assert rl.train(made)
    rows = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    rewards = [row["reward"] for row in rows if "reward" in row]
    assert len(rewards) == 4 and rewards[-1] > rewards[0] + 0.1, rewards
    samples = [json.loads(line) for line in (made.out / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [20, 20] and samples[0]["prompt"].startswith("who ")
    assert (made.out / "model" / "model.safetensors").is_file()


def test_answers_are_those_of_the_present_weights(base: Path, data: Path, tmp_path: Path) -> None:
    """The sampler's log-probabilities equal the learner's, before a step and after it, with an adapter that is merged."""
    made = recipe(base, data, tmp_path / "run", beta=0.0, iterations=2)
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        run = RLRun(made, rt)
        for step in (0, 2):
            (part, _), *_ = run.parts(step, 0, 1)
            with torch.no_grad():
                by_sampler = run.rollouts.text.lm(part.ids).log_softmax(-1)
            mask = part.mask
            found = by_sampler[mask].gather(1, part.targets[mask][:, None])[:, 0]
            assert torch.allclose(found, part.before[mask], atol=1e-4)
            run.loss(part)["loss"].backward()
            for group in run.optimizer.param_groups:
                group["lr"] = 0.05
            run.optimizer.step()


def test_answers_drawn_in_bf16_are_nearly_those(base: Path, data: Path, tmp_path: Path) -> None:
    """Products of factors rounded to it; the learner's weights and log-probabilities stay fp32."""
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        run = RLRun(recipe(base, data, tmp_path / "run", iterations=2, sampler="bf16"), rt)
        (part, _), *_ = run.parts(0, 0, 1)
        with torch.no_grad():
            by_sampler = run.rollouts.text.lm(part.ids).log_softmax(-1)
        found = by_sampler[part.mask].gather(1, part.targets[part.mask][:, None])[:, 0]
        error = (found - part.before[part.mask]).abs()
        assert 0 < float(error.max()) < 0.05


def test_a_run_that_was_stopped_goes_on_to_the_bit(base: Path, data: Path, tmp_path: Path) -> None:
    """Between two steps that learn from the same answers."""
    weights = []
    for stops in (False, True):
        made = recipe(base, data, tmp_path / f"run-{stops}", steps=4, iterations=2, held_out=0.0)
        while not rl.train(made, stop_after_minutes=0.0 if stops else None):
            pass
        weights.append(safetensors_io.read(made.out / "model" / "adapter_model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_rewards_that_teach_nothing_are_told(base: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = recipe(base, data, tmp_path / "run", steps=3, rewards=[{"kind": "python", "target": f"{__name__}:one"}])
    with caplog.at_level(logging.WARNING):
        rl.train(made)
    assert "in 3 steps all answers to a prompt had one reward: nothing is learned" in caplog.text


def test_mistakes(base: Path, data: Path, tmp_path: Path) -> None:
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        with pytest.raises(BadRequest, match="tuning is prefix; reinforcement learning tunes all weights"):
            RLRun(recipe(base, data, tmp_path / "run", tuning={"kind": "prefix"}), rt)
        with pytest.raises(BadRequest, match="answers is 1; grpo compares at least 2 answers"):
            RLRun(recipe(base, data, tmp_path / "run", answers=1), rt)
        with pytest.raises(BadRequest, match="none of 8 prompts leaves place for 60 tokens"):
            RLRun(recipe(base, data, tmp_path / "run", max_tokens=60), rt)


def test_prompts_that_are_made_and_what_they_measure(base: Path, tmp_path: Path) -> None:
    """Tested prompts are answered before the first step and after the last, and once each where the run was stopped."""
    task = {"kind": "sums", "train": 6, "held_out": 2, "tested": 3}
    made = recipe(base, tmp_path, tmp_path / "run", steps=2, validate_every=2, task=task, sampler="bf16")
    while not rl.train(made, stop_after_minutes=0.0):
        assert list(json.loads((made.out / "measured.json").read_text())) == ["before"]
    found = json.loads((made.out / "measured.json").read_text())
    assert list(found) == ["before", "after"] and set(found["after"]["greedy"]) == {"reward", "characters", "ended"}
    samples = (made.out / "samples.md").read_text().splitlines()
    assert len(samples) == 2 + 2 * 3 and samples[2].startswith("| What is ")


@pytest.mark.parametrize("name", ["rl", "rl-format", "rl-grounded", "rl-arithmetic"])
def test_shipped_recipes_read(name: str) -> None:
    """And with options of the command laid over them."""
    found = with_overrides(load(CONFIGS / f"{name}.yaml", RLRecipe), ["out=elsewhere", "algorithm=rloo"])
    assert found.algorithm == "rloo" and found.rewards[0].schema_ == {}
