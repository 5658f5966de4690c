"""Losses and gradients equal TRL's on the same answers of the same tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_lm
import torch

from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime
from mmgen.training.recipes.rl import RLRecipe, RLRun
from mmgen.training.rl.rollout_batch import RolloutBatch

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of its own
trl = pytest.importorskip("trl", reason="compares with TRL, which is not installed: pip install trl datasets")

SAME = {"transformer.embed.words.weight": "model.embed_tokens.weight", "transformer.norm.weight": "model.norm.weight"}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    data = tmp_path / "prompts.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": f"who {verb}", "answer": 1}) for verb in ("runs", "sees", "finds")))

    def made(**more: object) -> RLRun:
        recipe = RLRecipe.model_validate(
            {"base": str(tiny_lm.make(tmp_path / "lm")), "data": data, "out": tmp_path / "run", "rewards": [{"kind": "number"}],
             "answers": 2, "max_tokens": 8, "steps": 2, "batch": 3, "held_out": 0.0, "iterations": 2, "beta": 0.1,
             "tuning": {"kind": "full"}, **more}
        )  # fmt: skip
        return RLRun(recipe, rt)

    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        yield made


def answers(run: RLRun) -> RolloutBatch:
    """Of rewards that differ, by a policy that has moved on since and a reference that is another."""
    prompts, generator = [prompt.ids for prompt in run.train for _ in range(2)], torch.Generator().manual_seed(0)
    sizes = (8, 3, 5, 8, 1, 6)
    rows = [
        (ids, torch.randint(1, 300, (size,), generator=generator).tolist()) for ids, size in zip(prompts, sizes, strict=True)
    ]
    batch = run._read(RolloutBatch.of(rows, torch.randn(6, generator=generator).tolist()))
    with torch.no_grad():
        for weight in run.text.lm.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
        noise = 0.3 * torch.randn(batch.ids.shape, generator=generator) * batch.mask
    moved = type(batch)(**{**vars(batch), "reference": batch.reference + noise})
    return run._advantages(moved)


def theirs(trainer: Any, run: RLRun, batch: RolloutBatch, **more: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """TRL's loss and gradients: prompts padded on the left, answers on the right."""
    from transformers import AutoModelForCausalLM

    run.tuned.save(run.recipe.out / "moved")
    moved = AutoModelForCausalLM.from_pretrained(run.recipe.out / "moved", dtype=torch.float32)
    model = trainer.model.float().eval()
    model.load_state_dict(moved.state_dict())
    starts = batch.mask.int().argmax(1) + 1
    lengths = batch.mask.sum(1)
    longest, most = int(starts.max()), int(lengths.max())
    shapes = {"prompt_ids": longest, "prompt_mask": longest, "completion_ids": most, "completion_mask": most}
    inputs = {name: torch.zeros(len(starts), size, dtype=torch.long) for name, size in shapes.items()}
    spread = {name: torch.zeros(len(starts), most) for name in ("before", "reference", "advantages")}
    for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        inputs["prompt_ids"][row, longest - start :] = batch.ids[row, :start]
        inputs["prompt_mask"][row, longest - start :] = 1
        inputs["completion_ids"][row, :length] = batch.targets[row, start - 1 : start - 1 + length]
        inputs["completion_mask"][row, :length] = 1
        for name, values in spread.items():
            values[row, :length] = getattr(batch, name)[row, start - 1 : start - 1 + length]
    advantages = spread["advantages"].sum(1) / lengths
    told = {"old_per_token_logps": spread["before"], "ref_per_token_logps": spread["reference"], "advantages": advantages}
    told["old_logps"] = (spread["before"] * inputs["completion_mask"]).sum(1)
    told["num_items_in_batch"] = lengths.sum()
    loss = trainer._compute_loss(model, {**inputs, **told, **more})
    loss.backward()
    return float(loss.detach()), {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize(
    ("algorithm", "mean", "kind"), [("grpo", "answer", "grpo"), ("grpo", "token", "dapo"), ("rloo", "answer", "")]
)
def test_loss_and_gradients(run: Any, tmp_path: Path, algorithm: str, mean: str, kind: str) -> None:
    from datasets import Dataset

    ours = run(algorithm=algorithm, mean=mean)
    batch = answers(ours)
    settings = {
        "output_dir": str(tmp_path / "trl"), "beta": 0.1, "num_generations": 2, "per_device_train_batch_size": 6,
        "use_cpu": True, "bf16": False, "report_to": [], "num_iterations": 2, **({"loss_type": kind} if kind else {}),
    }  # fmt: skip
    config, trainer = (trl.GRPOConfig, trl.GRPOTrainer) if algorithm == "grpo" else (trl.RLOOConfig, trl.RLOOTrainer)
    made = trainer(
        model=ours.recipe.base, reward_funcs=lambda completions, **more: [0.0] * len(completions), args=config(**settings),
        train_dataset=Dataset.from_list([{"prompt": "who"}] * 6),
    )  # fmt: skip
    expected, gradients = theirs(made, ours, batch)
    found = ours.loss(batch)["loss"]
    found.backward()
    assert float(found.detach()) == pytest.approx(expected, abs=1e-4)
    mine = dict(ours.text.lm.named_parameters())
    for own, name in SAME.items():
        assert torch.allclose(mine[own].grad, gradients[name], atol=1e-4), name
