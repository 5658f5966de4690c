"""What is trained by each kind of fine-tuning, and where the base model stays as it was."""

from pathlib import Path
from typing import Any

import gguf_models
import pytest
import tiny_lm
import torch
from gguf import GGMLQuantizationType as Type

from mmgen import hub
from mmgen.models.lm.text_model import TextModel
from mmgen.training.recipes import finetuning
from mmgen.training.recipes.finetuning import TuningRecipe


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


def recipe(base: Path, kind: str, **more: Any) -> TuningRecipe:
    return TuningRecipe(base=str(base), steps=1, tuning={"kind": kind, "tokens": 4, **more})


@pytest.mark.parametrize("kind", ["full", "lora", "prefix"])
def test_only_what_is_tuned_is_learned(base: Path, kind: str) -> None:
    made = recipe(base, kind)
    model = finetuning.load_base(made)
    tuned = finetuning.tune(made, model, frozen=True)
    ids = torch.tensor([[5, 6, 7]])
    if kind != "prefix":
        torch.testing.assert_close(tuned.hidden(ids), tuned.hidden(ids, tuned=False))  # nothing is learned yet
    learned = {id(one) for one in tuned.learned().parameters()}
    trained = {id(one) for one in model.lm.parameters() if one.requires_grad}
    assert learned and (trained == learned if kind == "full" else not trained - learned)


def test_a_prefix_takes_room_from_the_conversation(base: Path) -> None:
    model = finetuning.load_base(recipe(base, "prefix"))
    assert finetuning.max_conversation_tokens(recipe(base, "prefix"), model) == 60
    assert finetuning.max_conversation_tokens(recipe(base, "lora"), model) == 64
    assert model.template, "the base has none, so it gets the plain one"


def test_the_tokenizer_goes_with_the_adapter(base: Path, tmp_path: Path) -> None:
    made = recipe(base, "lora")
    finetuning.tune(made, finetuning.load_base(made)).save(tmp_path / "adapter")
    assert {"tokenizer.json", "chat_template.jinja"} <= {path.name for path in (tmp_path / "adapter").iterdir()}


def test_what_was_made_from_a_gguf_file_has_its_tokenizer(tmp_path: Path) -> None:
    """Both an adapter and a whole model, which are opened without the file."""
    (tmp_path / "base").mkdir()
    gguf_models.llama_file(tmp_path / "base" / "model.gguf", Type.F32)
    made = recipe(tmp_path / "base", "lora")
    model = finetuning.load_base(made)
    finetuning.tune(made, model).save(tmp_path / "adapter")
    assert (tmp_path / "adapter" / "tokenizer.json").is_file()
    finetuning.save_model(finetuning.load_base(made), hub.resolve(made.base), tmp_path / "whole")
    whole = TextModel.load(tmp_path / "whole")
    assert whole.tokenizer.encode("a word").ids == model.tokenizer.encode("a word").ids and whole.eos_ids == model.eos_ids


def test_every_linear_layer_is_tuned_whatever_the_family_calls_them(base: Path) -> None:
    for reference, layers in ((str(base), {"q_proj", "o_proj", "down_proj"}), ("embedded:books", {"qkv", "out", "down"})):
        made = TuningRecipe(base=reference, steps=1)
        tuned = finetuning.tune(made, finetuning.load_base(made), frozen=True)
        assert isinstance(tuned, finetuning.LoraFinetuning)
        assert layers <= set(tuned.adapters.settings[0]["target_modules"])
