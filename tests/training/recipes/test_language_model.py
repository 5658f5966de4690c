"""The recipe on made-up tales: it learns, a killed run ends where an undisturbed one does, and its folder is read elsewhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_corpus
import torch

from mmgen.config import load
from mmgen.errors import BadRequest, BadWeights, ConfigError
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.training.recipes import language_model as recipe_module
from mmgen.training.recipes.language_model import LanguageModelRecipe, LanguageModelRun

CONFIGS = Path(__file__).parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus.write(tmp_path_factory.mktemp("data"))


@pytest.fixture
def recipe(data: Path, tmp_path: Path) -> LanguageModelRecipe:
    return LanguageModelRecipe(
        data=data, out=tmp_path / "run", tokenizer={"vocabulary": 300}, held_out=0.15, model=tiny_corpus.MODEL, steps=6,
        batch=4, validate_every=3, prompts=["The fox"], sample_tokens=8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModelRecipe:
    """A finished run that many tests look at."""
    model = {**tiny_corpus.MODEL, "dropout": 0.1}
    recipe = LanguageModelRecipe(
        data=data, out=tmp_path_factory.mktemp("whole"), tokenizer={"vocabulary": 300}, held_out=0.15, model=model, steps=40,
        batch=8, together=4, validate_every=20, sample_tokens=8, schedule={"peak": 1e-2},
    )  # fmt: skip
    assert recipe_module.train(recipe)
    return recipe


def trained(recipe: LanguageModelRecipe) -> dict[str, torch.Tensor]:
    return safetensors_io.read(recipe.out / "checkpoint" / "model.safetensors")


def lines(recipe: LanguageModelRecipe) -> list[dict[str, float]]:
    return [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_says_so(whole: LanguageModelRecipe) -> None:
    rows = [row for row in lines(whole) if "loss" in row]
    assert rows[-1]["loss"] < 0.75 * rows[0]["loss"]
    assert rows[-1]["tokens_per_second"] > 0 and 0 < rows[-1]["flops_utilization"] < 1.5
    told = [row for row in lines(whole) if "validation" in row]
    assert [row["step"] for row in told] == [20, 40] and told[1]["validation"] < told[0]["validation"] < 6
    assert 0 < told[1]["validation_per_byte"] < told[1]["validation"]
    samples = (whole.out / "samples.txt").read_text()
    assert samples.count("--- step ") == 2 and samples.count("Once upon a time") == 2
    assert (whole.out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_run_goes_on_to_the_same_bits(whole: LanguageModelRecipe, tmp_path: Path) -> None:
    broken = whole.model_copy(update={"out": tmp_path / "broken", "checkpoint_minutes": 0.0})
    (tmp_path / "recipe.yaml").write_text(broken.model_dump_json())  # JSON is YAML
    arguments = [sys.executable, "-m", "mmgen", "train", "lm", "--config", str(tmp_path / "recipe.yaml")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env={**os.environ, **threads})
    progress = broken.out / "checkpoint" / "progress.json"
    deadline = time.monotonic() + 120
    while steps_saved(progress) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert recipe_module.train(broken.model_copy(update={"checkpoint_minutes": 5.0}))
    expected, found = trained(whole), trained(broken)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def steps_saved(progress: Path) -> int:
    """0 while there is no checkpoint, or one takes the other's place."""
    try:
        return int(json.loads(progress.read_text())["step"])
    except FileNotFoundError:
        return 0


def test_stopped_and_started_again(recipe: LanguageModelRecipe) -> None:
    assert not recipe_module.train(recipe, stop_after_minutes=0)
    assert json.loads((recipe.out / "checkpoint" / "progress.json").read_text())["step"] == 1
    assert recipe_module.train(recipe)
    assert recipe_module.train(recipe)  # nothing left to do


def test_parts_of_a_batch_add_up(recipe: LanguageModelRecipe) -> None:
    """Gradients of a batch in one go and in parts, and of two processes."""
    slopes = []
    for together, processes in ((0, 1), (1, 1), (2, 2)):
        run = LanguageModelRun(recipe.model_copy(update={"together": together}))
        for process in range(processes):
            for batch, weight in run.parts(0, process, processes):
                (run.loss(batch)["loss"] * weight / processes).backward()
        slopes.append(torch.cat([p.grad.flatten() for p in run.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(slopes[1], slopes[0], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(slopes[2], slopes[0], atol=1e-6, rtol=1e-4)


def test_activations_computed_anew_give_the_same_gradients(recipe: LanguageModelRecipe) -> None:
    slopes = []
    for checkpointing in (False, True):
        run = LanguageModelRun(recipe.model_copy(update={"activation_checkpointing": checkpointing}))
        ((batch, _),) = run.parts(0, 0, 1)
        run.loss(batch)["loss"].backward()
        slopes.append(torch.cat([p.grad.flatten() for p in run.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*slopes)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of what torch.compile imports
def test_compiled_it_learns_the_same(recipe: LanguageModelRecipe) -> None:
    losses = []
    for compiled in (False, True):
        run = LanguageModelRun(recipe.model_copy(update={"compile": compiled}))
        ((batch, _),) = run.parts(0, 0, 1)
        losses.append(run.loss(batch)["loss"].detach())
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)


def test_a_mixture_of_experts_is_kept_in_balance(recipe: LanguageModelRecipe) -> None:
    run = LanguageModelRun(recipe.model_copy(update={"model": {**tiny_corpus.MODEL, "experts": 3}, "family": "mixtral"}))
    ((batch, _),) = run.parts(0, 0, 1)
    losses = run.loss(batch)
    assert losses["balance"] >= 1.9 and losses["loss"] > 5


def test_the_folder_is_read_here_and_by_transformers(whole: LanguageModelRecipe) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = whole.out / "model"
    ours = TextModel.load(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = ours.encode("The old fox follows")
    assert tokenizer("The old fox follows")["input_ids"] == ids and tokenizer.decode(ids) == "The old fox follows"
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits
        torch.testing.assert_close(ours.lm(torch.tensor([ids])), expected, atol=1e-4, rtol=1e-4)
    assert ours.eos_ids == {ours.bos_id} == {tokenizer.eos_token_id} and ours.max_tokens == 32


def test_a_long_row_and_a_model_that_sees_the_future(recipe: LanguageModelRecipe) -> None:
    with pytest.raises(BadRequest, match="row is 64 tokens, the model reads 32"):
        LanguageModelRun(recipe.model_copy(update={"row": 64}))
    with pytest.raises(BadRequest, match="set causal: true"):
        LanguageModelRun(recipe.model_copy(update={"model": {**tiny_corpus.MODEL, "causal": False}}))
    with pytest.raises(ConfigError, match="depth is 3, unexpected"):
        LanguageModelRun(recipe.model_copy(update={"model": {**tiny_corpus.MODEL, "depth": 3}}))


def test_a_damaged_checkpoint(recipe: LanguageModelRecipe) -> None:
    recipe_module.train(recipe, stop_after_minutes=0)
    (recipe.out / "checkpoint" / "optimizer.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadWeights, match=r"is damaged .*; delete it to start anew"):
        recipe_module.train(recipe)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("shakespeare-cpu", 0.80), ("shakespeare-gpu", 10.64), ("books-cpu", 10.06), ("books-gpu", 13.77)],
)
def test_shipped_recipes(name: str, millions: float) -> None:
    recipe = load(CONFIGS / f"{name}.yaml", LanguageModelRecipe)
    vocabulary = recipe.tokenizer.vocabulary if recipe.tokenizer.kind == "bpe" else 67
    with torch.device("meta"):
        model = LanguageModel(recipe_module.transformer_config.load({**recipe.model, "vocab_size": vocabulary}))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
