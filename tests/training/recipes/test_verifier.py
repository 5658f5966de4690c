"""The recipe on a handful of questions: pairs of like length together, it learns, resumes to the same weights, and exports."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.encoders.cross_encoder import CrossEncoder
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.training.data.tricks import digest
from mmgen.training.recipes import rerank, verifier
from mmgen.training.recipes.verifier import VerifierRecipe
from mmgen.training.schedules import LearningRateSchedule

CITIES = ["Lima", "Oslo", "Cairo", "Tokyo", "Rome", "Quito", "Bern", "Riga"]


@pytest.fixture
def recipe(tmp_path: Path, tiny_encoder: Path) -> VerifierRecipe:
    rows, tricks = [], []
    for number, city in enumerate(CITIES * 3):
        other = CITIES[number % 5 - 4]
        context = f"In year {number} many people travelled to {city} by ship. In year {number + 40} some left for {other}."
        for year, place in ((number, city), (number + 40, other)):
            rows.append({
                "id": f"{number} {year}", "title": f"title {number}", "question": f"To where did people go in year {year}?",
                "context": context, "answers": [place], "answer_starts": [context.index(place)],
            })  # fmt: skip
        tricks.append({"passage": digest(context), "question": "Where did people fly?", "plausible": city})
    folder = tmp_path / "qa" / "squadshifts"
    folder.mkdir(parents=True)
    with gzip.open(folder / "new_wiki.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, rows)))
    (tmp_path / "tricks.jsonl").write_text("\n".join(map(json.dumps, tricks)))
    base = SentenceEncoder.load(tiny_encoder)
    start = CrossEncoder(rerank.start_from(base), base.tokenizer, base.config.max_tokens, base=str(tiny_encoder))
    start.save(tmp_path / "start")
    return VerifierRecipe(
        start=str(tmp_path / "start"), data=folder.parent, out=tmp_path / "run", sources={"squadshifts/new_wiki": 1.0},
        tricks=tmp_path / "tricks.jsonl", evidence_tokens=24, steps=4, batch=6, together=3, held_out=0.1, development=0.2,
        validate_every=2, weight_decay=0.0, schedule=LearningRateSchedule(peak=3e-3),
    )  # fmt: skip


def test_resumed_run_equals_an_undisturbed_one(recipe: VerifierRecipe, tmp_path: Path) -> None:
    assert verifier.train(recipe)
    broken = recipe.model_copy(update={"out": tmp_path / "broken"})
    assert not verifier.train(broken, stop_after_minutes=0)
    assert not (broken.out / "model").exists() and verifier.train(broken)
    one, other = (safetensors_io.read(out / "model" / "model.safetensors") for out in (recipe.out, broken.out))
    assert all(torch.equal(one[name], other[name]) for name in one)
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "recombined AUROC" in line] == [2, 4]
    assert CrossEncoder.load(recipe.out / "model").base == CrossEncoder.load(Path(recipe.start)).base


def test_a_step_has_a_wrong_answer_beside_a_right_one(recipe: VerifierRecipe) -> None:
    task = verifier.VerifierRun(recipe)
    (one, share), (other, rest) = task.parts(0, 0, 1)
    assert share == rest == 0.5 and len(one.compared) == len(other.compared) == 3
    assert one.supported[one.compared[:, 0]].tolist() == [1.0] * 3 and one.supported[one.compared[:, 1]].tolist() == [0.0] * 3
    assert int(one.rows.lengths.max()) <= int(other.rows.lengths.max())  # the shorter ones together
    assert len(task.tricks) == 17 and len(task.evidence.questions) == 34  # of titles that are not held out


def test_it_learns(recipe: VerifierRecipe) -> None:
    task = verifier.VerifierRun(recipe.model_copy(update={"tricks": None}))
    batches = [task.parts(0, 0, 1)[0][0] for _ in range(1)]
    losses = []
    for _ in range(40):
        loss = task.loss(batches[0])["loss"]
        loss.backward()
        for group in task.optimizer.param_groups:
            group["lr"] = 3e-3
        task.optimizer.step()
        task.optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_no_data_is_told(recipe: VerifierRecipe) -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        verifier.VerifierRun(recipe.model_copy(update={"data": None}))
