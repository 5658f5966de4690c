"""Conversations: only answers are learned, in three ways, and what comes out is read elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_lm
import torch

from mmgen.config import load
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.lm import language_model, lora_files
from mmgen.models.lm.adapters import peft_files, prefix_tuning
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.text_model import TextModel
from mmgen.training.chunked_cross_entropy import IGNORED
from mmgen.training.data import chat_data
from mmgen.training.recipes import sft
from mmgen.training.recipes.sft import SFTRecipe, SFTRun

CONFIGS = Path(__file__).parents[3] / "configs" / "train"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": "who runs", "response": "the red fox runs"}] * 4
    rows += [{"instruction": "where", "input": "the hen", "output": "over the river"}] * 4
    turns = ("user", "who"), ("assistant", "the fox"), ("user", "and"), ("assistant", "the hen")
    rows += [{"messages": [{"role": role, "content": text} for role, text in turns]}] * 4
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def recipe(base: Path, data: Path, out: Path, kind: str, **more: Any) -> SFTRecipe:
    settings = {"steps": 8, "batch": 4, "schedule": {"peak": 2e-2}, "held_out": 0.25, "validate_every": 4, **more}
    return SFTRecipe(base=str(base), data=data, out=out, tuning={"kind": kind, "tokens": 4}, **settings)


def test_only_answers_are_learned(base: Path, data: Path) -> None:
    model = chat_data.with_template(TextModel.load(base))
    messages = list(chat_data.conversations(data))[-1]
    example = chat_data.example_of(model, messages)
    said = model.tokenizer.decode([one for one, learned in zip(example.ids, example.learned, strict=True) if learned])
    assert said == " the fox the hen" and sum(one == 0 for one in example.ids) == 2  # the ends of turns are special tokens
    assert all(learned for one, learned in zip(example.ids, example.learned, strict=True) if one == 0)
    whole = model.tokenizer.fast.decode(example.ids, skip_special_tokens=False)
    assert whole == "User: who\nAssistant: the fox<|endoftext|>User: and\nAssistant: the hen<|endoftext|>"
    batch = chat_data.collate([example, chat_data.ChatExample([5, 6, 7], [False, False, True])])
    assert batch.targets[1, :2].tolist() == [IGNORED, 7] and (batch.targets[1, 2:] == IGNORED).all()


@pytest.mark.parametrize("kind", ["full", "lora", "prefix"])
def test_it_learns_to_answer(base: Path, data: Path, tmp_path: Path, kind: str) -> None:
    made = recipe(base, data, tmp_path / "run", kind, steps=24, validate_every=12)
    assert sft.train(made)
    rows = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    first, last = (row["validation"] for row in rows if "validation" in row)
    assert last < first < 6
    folder = made.out / "model"
    if kind == "full":
        assert TextModel.load(folder).template and TextModel.load(folder).eos_ids == {0}
        return
    lm = language_model.load(base)
    before = safetensors_io.read(base / "model.safetensors")
    if kind == "lora":
        adapters = Adapters(lm, lora_files.names_of(base, lm))
        peft_files.load(adapters, "a", folder)
        assert sum(float(lora.product().detach().abs().sum()) for lora in adapters.layers("a").values()) > 0
    else:
        assert prefix_tuning.load(lm, folder).shape[0] == 4
    task = SFTRun(made)
    assert torch.equal(task.text.lm.transformer.embed.words.weight, before["model.embed_tokens.weight"])


def test_resumed_equals_undisturbed(base: Path, data: Path, tmp_path: Path) -> None:
    whole, broken = (recipe(base, data, tmp_path / name, "lora", together=2) for name in ("whole", "broken"))
    assert sft.train(whole)
    assert not sft.train(broken, stop_after_minutes=0)
    assert sft.train(broken)
    expected, found = (safetensors_io.read(one.out / "checkpoint" / "model.safetensors") for one in (whole, broken))
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)


def test_parts_weigh_their_answers(base: Path, data: Path, tmp_path: Path) -> None:
    one, two = (SFTRun(recipe(base, data, tmp_path / "run", "full", together=together)) for together in (0, 3))
    losses = [
        sum(float(run.loss(batch)["loss"].detach()) * weight for batch, weight in run.parts(0, 0, 1)) for run in (one, two)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_bad_data(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for row, said in (({"text": "x"}, "neither messages"), ({"messages": [{"role": "user"}]}, "lacks role or content")):
        path.write_text(json.dumps(row))
        with pytest.raises(UnreadableFile, match=f"row 1: .*{said}"):
            SFTRun(recipe(base, path, tmp_path / "run", "lora"))
    path.write_text(json.dumps({"prompt": "who", "response": "the fox " * 200}))
    with pytest.raises(BadRequest, match="none of 1 conversations has an answer and at most 64 tokens"):
        SFTRun(recipe(base, path, tmp_path / "run", "lora"))


def test_shipped_recipe_reads() -> None:
    assert load(CONFIGS / "sft.yaml", SFTRecipe).tuning.rank == 8
