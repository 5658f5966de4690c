"""Rounded folders: small, loaded as any other, close to what they were made of."""

from pathlib import Path

import pytest
import tiny_corpus
import torch
from safetensors.torch import save_file

from mmgen.errors import BadWeights
from mmgen.models import transformer_config
from mmgen.models.checkpoints import quantized, safetensors_io
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.models.quantization import int8
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.training.recipes import tokenizer

IDS = torch.arange(40)[None] * 7 % 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    config = transformer_config.load(
        {**tiny_corpus.MODEL, "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "max_tokens": 64}
    )
    language_model.save(LanguageModel(config), place, "llama", {"eos_token_id": 0, "bos_token_id": 0})
    tokenizer.save(tokenizer.train(tiny_corpus.documents(), vocabulary=300), place)
    return place


@pytest.mark.parametrize(("precision", "kind", "near"), [("int8", Int8Linear, 0.05), ("int4", Int4Linear, 0.25)])
def test_saved_and_loaded(folder: Path, tmp_path: Path, precision: str, kind: type, near: float) -> None:
    quantized.save(language_model.load(folder), folder, tmp_path / "small", precision)
    small = TextModel.load(tmp_path / "small")
    assert isinstance(small.lm.transformer.blocks[0].up, kind) and small.eos_ids == {0}
    share = (tmp_path / "small" / "model.safetensors").stat().st_size / (folder / "model.safetensors").stat().st_size
    assert share < 0.35
    on_the_fly, plain = TextModel.load(folder, precision=precision), TextModel.load(folder)
    with torch.inference_mode():
        found, same, expected = (model.lm(IDS) for model in (small, on_the_fly, plain))
    assert (found - expected).norm() / expected.norm() < near
    torch.testing.assert_close(found, same, atol=0.05 * (127 / int8.MOST) ** 2 * float(expected.std()), rtol=0)
    assert type(TextModel.load(tmp_path / "small", precision="fp32").lm.transformer.blocks[0].up).__name__ == "Linear"


def test_a_file_that_is_not_whole(folder: Path, tmp_path: Path) -> None:
    quantized.save(language_model.load(folder), folder, tmp_path, "int4")
    tensors = safetensors_io.read(tmp_path / "model.safetensors")
    del tensors["transformer.blocks.0.up.weight.offset"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadWeights, match=r"blocks\.0\.up\.weight as int4 without its scales"):
        TextModel.load(tmp_path)
