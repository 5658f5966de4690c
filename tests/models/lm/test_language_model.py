"""The network of a language model: loaded, saved, and as it is made anew."""

from pathlib import Path

import checkpoints
import pytest
import torch

from mmgen.models.lm import language_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoints.saved(checkpoints.llama(), tmp_path / "theirs")
    return tmp_path / "theirs"


def test_saved_in_half_precision_stays_so_where_asked(folder: Path, tmp_path: Path) -> None:
    language_model.save(language_model.load(folder, dtype=torch.bfloat16), tmp_path, "llama")
    assert language_model.load(tmp_path).head.weight.dtype == torch.bfloat16
    assert language_model.load(tmp_path, dtype=torch.float32).head.weight.dtype == torch.float32


def test_a_model_that_was_never_drawn_is_like_one_that_was(folder: Path) -> None:
    """Weights are not initialised before they are read; nothing else may be left out with them."""
    loaded, made = language_model.load(folder), language_model.LanguageModel(language_model.load(folder).config)
    made.load_state_dict(loaded.state_dict())
    ids = torch.tensor([[1, 7, 9]])
    assert torch.equal(loaded(ids), made.eval()(ids))
