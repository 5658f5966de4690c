"""The recipe on a handful of questions: a run that was stopped ends where an undisturbed one does."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mmgen.config import load, with_overrides
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.tensor_names import BERT_WORDS
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.reader.model import ReaderModel
from mmgen.training.recipes import reader as recipe_module
from mmgen.training.recipes.reader import ReaderRecipe

FACTS = [("Lima", "Peru"), ("Oslo", "Norway"), ("Cairo", "Egypt"), ("Tokyo", "Japan"), ("Rome", "Italy"), ("Quito", "Ecuador")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = []
    for number, (city, country) in enumerate(FACTS * 4):
        context = f"In year {number} people wrote that {city} is the capital of {country}, and many travelled there by ship."
        rows.append({
            "id": str(number), "title": f"title {number}", "question": f"What is the capital of {country} in year {number}?",
            "context": context, "answers": [city], "answer_starts": [context.index(city)],
        })  # fmt: skip
    folder = tmp_path / "qa" / "squadshifts"
    folder.mkdir(parents=True)
    with gzip.open(folder / "new_wiki.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, rows)))
    return folder.parent


@pytest.fixture
def recipe(data: Path, tmp_path: Path, tiny_encoder: Path) -> ReaderRecipe:
    return ReaderRecipe(
        base=str(tiny_encoder), data=data, out=tmp_path / "run", sources={"squadshifts/new_wiki": 1.0},
        windows=[24, 32], batch_tokens=600, longest_answer=6, held_out=0.1, development=0.1,
    )  # fmt: skip


def trained(recipe: ReaderRecipe) -> dict[str, torch.Tensor]:
    return safetensors_io.read(recipe.out / "checkpoint" / "model.safetensors")


def test_resumed_run_equals_an_undisturbed_one(recipe: ReaderRecipe, tmp_path: Path) -> None:
    assert recipe_module.train(recipe)
    broken = recipe.model_copy(update={"out": tmp_path / "broken"})
    assert not recipe_module.train(broken, stop_after_minutes=0)  # one step, then a checkpoint
    assert recipe_module.train(broken)
    whole, resumed = trained(recipe), trained(broken)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_moves_all_but_the_word_embeddings(recipe: ReaderRecipe, tiny_encoder: Path) -> None:
    recipe_module.train(recipe)
    before, after = safetensors_io.read(tiny_encoder / "model.safetensors"), trained(recipe)
    assert torch.equal(before[BERT_WORDS], after["transformer.embed.words.weight"])
    assert not torch.equal(before["encoder.layer.0.output.dense.weight"], after["transformer.blocks.0.down.weight"])
    assert (recipe.out / "checkpoint" / "progress.json").is_file()


def test_a_reader_goes_on_and_its_lowest_layers_stay(recipe: ReaderRecipe, tiny_encoder: Path, tmp_path: Path) -> None:
    encoder, folder = SentenceEncoder.load(tiny_encoder), tmp_path / "first"
    fresh = recipe_module.start_from(encoder)
    settings = {"base": str(tiny_encoder), "transformer": asdict(fresh.transformer.config)}
    ReaderModel(fresh, encoder.tokenizer, settings).save(folder)
    more = recipe.model_copy(update={"start": str(folder), "frozen_layers": 1, "out": tmp_path / "more", "minutes": 0.02})
    assert recipe_module.train(more)
    before, after = ReaderModel.load(folder).reader.state_dict(), trained(more)
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert "transformer.blocks.1.down.weight" in moved and "transformer.blocks.0.down.weight" not in moved
    assert "query.weight" in moved and "verifier.0.weight" in after
    again = recipe_module.start_from(encoder)
    again.load_state_dict(after)
    recipe_module.mix(again, str(folder), 0.25)
    expected = 0.75 * after["query.weight"] + 0.25 * before["query.weight"]
    torch.testing.assert_close(again.state_dict()["query.weight"], expected)


def test_a_reader_of_another_shape_is_no_start(recipe: ReaderRecipe) -> None:
    with pytest.raises(BadRequest, match="embedded:reader has another shape than the base"):
        recipe_module.train(recipe.model_copy(update={"start": "embedded:reader"}))


def test_a_hopeless_reader_is_not_calibrated(recipe: ReaderRecipe) -> None:
    recipe_module.train(recipe, stop_after_minutes=0)
    with pytest.raises(BadRequest, match=r"none of \d+ development answers are right; .* train longer"):
        recipe_module.export(recipe)
    assert ReaderModel.load(recipe.out / "model").longest_answer == 6


def test_held_out_titles_are_not_trained_on(recipe: ReaderRecipe, data: Path) -> None:
    development, reported = recipe_module.held_out(recipe, data)
    titles = {q.title for q in recipe_module.training_questions(recipe, data)}
    assert development and reported
    assert titles.isdisjoint({q.title for q in development + reported})
    assert {q.title for q in development}.isdisjoint({q.title for q in reported})


def test_no_data(recipe: ReaderRecipe) -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        recipe_module.train(recipe.model_copy(update={"data": None}))


def test_damaged_checkpoint(recipe: ReaderRecipe) -> None:
    recipe_module.train(recipe, stop_after_minutes=0)
    (recipe.out / "checkpoint" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadWeights, match=r"is damaged .*; delete it to start anew"):
        recipe_module.train(recipe)


def test_shipped_recipe_reads() -> None:
    recipe = load(Path("configs/train/reader-cpu.yaml"), ReaderRecipe)
    assert with_overrides(recipe, ["learning_rate=1e-4"]).learning_rate == 1e-4


def test_passages_that_are_all_alike_leave_nothing_to_train_on(recipe: ReaderRecipe, data: Path) -> None:
    path = data / "squadshifts" / "new_wiki.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    alike = "In those years people of every country wrote of the town of Lima, and many travelled there by ship."
    with gzip.open(path, "wt") as out:
        out.write("\n".join(json.dumps(row | {"context": alike, "answers": ["Lima"], "answer_starts": [61]}) for row in rows))
    with pytest.raises(BadRequest, match="none is left to train on"):
        recipe_module.training_questions(recipe, data)
