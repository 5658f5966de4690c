"""The recipe on a handful of questions: it learns, resumes to the same weights, and what it exports orders passages."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.encoders.cross_encoder import CrossEncoder
from mmgen.training.recipes import rerank as recipe_module
from mmgen.training.recipes.rerank import RerankRecipe
from mmgen.training.run_log import RunLog
from mmgen.training.schedules import LearningRateSchedule

CITIES = ["Lima", "Oslo", "Cairo", "Tokyo", "Rome", "Quito", "Bern", "Riga"]


@pytest.fixture
def recipe(tmp_path: Path, tiny_encoder: Path) -> RerankRecipe:
    rows = []
    for number, city in enumerate(CITIES * 3):
        context = f"In year {number} many people travelled to {city} by ship, and some of them stayed."
        rows.append({
            "id": str(number), "title": f"title {number}", "question": f"What happened in year {number}?",
            "context": context, "answers": [city], "answer_starts": [context.index(city)],
        })  # fmt: skip
    folder = tmp_path / "qa" / "squadshifts"
    folder.mkdir(parents=True)
    with gzip.open(folder / "new_wiki.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, rows)))
    return RerankRecipe(
        base=str(tiny_encoder), data=folder.parent, out=tmp_path / "run", sources={"squadshifts/new_wiki": 1.0}, window=24,
        steps=4, batch=4, negatives=2, held_out=0.1, development=0.2, validate_every=2, weight_decay=0.0,
        schedule=LearningRateSchedule(peak=3e-3),
    )  # fmt: skip


def test_resumed_run_equals_an_undisturbed_one(recipe: RerankRecipe, tmp_path: Path) -> None:
    assert recipe_module.train(recipe)
    broken = recipe.model_copy(update={"out": tmp_path / "broken"})
    assert not recipe_module.train(broken, stop_after_minutes=0)
    assert not (broken.out / "model").exists() and recipe_module.train(broken)
    one, other = (safetensors_io.read(out / "model" / "model.safetensors") for out in (recipe.out, broken.out))
    assert all(torch.equal(one[name], other[name]) for name in one)
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [2, 4]


def test_it_learns_and_its_export_scores_alike(recipe: RerankRecipe) -> None:
    longer = recipe.model_copy(update={"steps": 110, "validate_every": 200})
    task = recipe_module.RerankRun(longer)
    before = task.parts(0, 0, 1)[0][0]
    with torch.no_grad():
        first = float(task.loss(before)["ranking"])
    recipe_module.train(longer)
    model = CrossEncoder.load(longer.out / "model")
    assert model.base == recipe.base and "transformer.embed.words.weight" not in safetensors_io.read(
        longer.out / "model" / "model.safetensors"
    )
    with torch.no_grad():
        after = float(recipe_module.RankingLoss(model.network, 3, 0.0)(before)["ranking"])
    assert after < 0.7 * first


def test_padding_changes_nothing(recipe: RerankRecipe) -> None:
    task = recipe_module.RerankRun(recipe)
    model = CrossEncoder(task.model, task.base.tokenizer, 64)
    pairs = model.pairs("What happened?", ["In year 3 many people travelled.", "By ship."])
    ids, types = torch.zeros(2, 40, dtype=torch.long), torch.zeros(2, 40, dtype=torch.long)
    for n, pair in enumerate(pairs):
        ids[n, : len(pair)], types[n, pair.text_at : len(pair)] = torch.tensor(pair.ids), 1
    with torch.no_grad():
        padded = model.network.padded(ids, types, torch.tensor([len(pair) for pair in pairs]))
    assert torch.sigmoid(padded).tolist() == pytest.approx(model.score_rows(pairs).tolist(), abs=1e-6)


def test_no_data_is_told(recipe: RerankRecipe) -> None:
    with pytest.raises(BadRequest, match="no data; give --data the folder"):
        recipe_module.train(recipe.model_copy(update={"data": None}))


def test_answers_are_judged_by_what_stands_around_them(recipe: RerankRecipe) -> None:
    both = recipe.model_copy(update={
        "evidence": 3, "evidence_sources": recipe.sources, "mined_by": "words", "steps": 2, "frozen_layers": 1,
    })  # fmt: skip
    task = recipe_module.RerankRun(both)
    batch = task.parts(0, 0, 1)[0][0]
    assert batch.evidence is not None and batch.supported is not None
    assert len(batch.evidence.lengths) == len(batch.supported) and 3 <= len(batch.supported) <= 6 and batch.supported.sum() == 3
    losses = task.loss(batch)
    assert losses["loss"] > losses["ranking"] + 0.3 * losses["binary"]
    assert not task.model.transformer.blocks[0].attention.qkv.weight.requires_grad
    with torch.inference_mode():
        task.validate(1, RunLog(both.out, 1), {})
    noted = json.loads((both.out / "metrics.jsonl").read_text())
    assert 0 <= noted["validation evidence AUROC"] <= 1 and noted["validation first"] <= 1
