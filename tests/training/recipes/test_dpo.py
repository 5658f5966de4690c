"""Preferences: the loss by hand, and answers that become likelier."""

import json
import math
from pathlib import Path

import pytest
import tiny_lm
import torch

from mmgen.config import load
from mmgen.errors import UnreadableFile
from mmgen.training.recipes import dpo
from mmgen.training.recipes.dpo import DPORecipe, DPORun

CONFIGS = Path(__file__).parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"prompt": f"who {verb}", "chosen": "the fox", "rejected": "old road under"} for verb in ("runs", "sees") * 4]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def recipe(base: Path, data: Path, out: Path, kind: str, steps: int = 20) -> DPORecipe:
    return DPORecipe(
        base=str(base), data=data, out=out, tuning={"kind": kind, "tokens": 3}, steps=steps, batch=4, together=2,
        schedule={"peak": 1e-2}, held_out=0.25, validate_every=10,
    )  # fmt: skip


def test_before_the_first_step_it_is_indifferent(base: Path, data: Path, tmp_path: Path) -> None:
    run = DPORun(recipe(base, data, tmp_path, "lora"))
    parts = run.parts(0, 0, 1)
    losses = {name: value.detach() for name, value in run.loss(parts[0][0]).items()}
    assert len(parts) == 2 and float(losses["loss"]) == pytest.approx(math.log(2)) and losses["margin"] == 0


def test_log_likelihoods_are_those_of_the_answers(base: Path, data: Path, tmp_path: Path) -> None:
    run = DPORun(recipe(base, data, tmp_path, "full"))
    ((pairs, _), _) = run.parts(0, 0, 1)
    found = dpo.log_likelihood(run.text.lm, run.tuned.hidden(pairs.batch.ids), pairs.batch.targets).detach()
    text, prompt = "User: who sees\nAssistant: the fox<|endoftext|>", "User: who sees\nAssistant:"
    if float(found[0]) != pytest.approx(_likelihood(run, text, prompt), rel=1e-4):
        text, prompt = text.replace("sees", "runs"), prompt.replace("sees", "runs")
        assert float(found[0]) == pytest.approx(_likelihood(run, text, prompt), rel=1e-4)


@torch.no_grad()
def _likelihood(run: DPORun, text: str, prompt: str) -> float:
    ids, first = run.text.tokenizer.encode(text).ids, len(run.text.tokenizer.encode(prompt).ids)
    said = run.text.lm(torch.tensor([ids]))[0].log_softmax(-1)
    return sum(float(said[place - 1, ids[place]]) for place in range(first, len(ids)))


@pytest.mark.parametrize("kind", ["full", "lora", "prefix"])
def test_the_better_answer_becomes_likelier(base: Path, data: Path, tmp_path: Path, kind: str) -> None:
    made = recipe(base, data, tmp_path, kind)
    assert dpo.train(made)
    rows = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    told = [row for row in rows if "validation" in row]
    assert told[-1]["validation"] < math.log(2) and told[-1]["validation_accuracy"] == 1
    assert (made.out / "model" / "chat_template.jinja").is_file()


def test_bad_data(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "who", "chosen": "the fox"}))
    with pytest.raises(UnreadableFile, match="row 1: prompt, chosen and rejected should each"):
        DPORun(recipe(base, path, tmp_path / "run", "lora"))


def test_shipped_recipe_reads() -> None:
    assert load(CONFIGS / "dpo.yaml", DPORecipe).beta == 0.1
