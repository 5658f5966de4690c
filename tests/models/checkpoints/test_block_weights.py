"""Matrices of a GGUF file stay in its blocks: the same logits as dequantized, in the memory that the file has."""

from pathlib import Path

import checkpoints
import gguf_models
import pytest
import torch
from gguf import GGMLQuantizationType as Type

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import block_weights
from mmgen.models.checkpoints.offload import LoadedModel
from mmgen.models.cpu.kernels import kernels
from mmgen.models.lm import language_model
from mmgen.models.lm.text_model import TextModel
from mmgen.models.quantization import block_matrix
from mmgen.models.quantization.block_layers import BlockEmbedding, BlockLinear

needed = pytest.mark.skipif(kernels() is None, reason="there are no kernels here")
IDS = torch.tensor([[5, 9, 200, 31, 7, 7]])


@needed
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"])
def test_logits_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type[kind])
    lm = language_model.load(path, dtype=torch.float32, packed=True)
    layers = [module for module in lm.modules() if isinstance(module, BlockLinear)]
    assert len(layers) == 4 * lm.config.layers + 1 and isinstance(lm.transformer.embed.words, BlockEmbedding)
    lm.pack()
    with torch.inference_mode():
        torch.testing.assert_close(lm(IDS), theirs(IDS).logits, atol=1e-4, rtol=0)


@needed
def test_a_tied_head_is_the_embeddings_matrix(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type.Q8_0, tie_word_embeddings=True)
    lm = language_model.load(path, dtype=torch.float32, packed=True)
    assert lm.head.matrix is lm.transformer.embed.words.matrix
    with torch.inference_mode():
        torch.testing.assert_close(lm(IDS), theirs(IDS).logits, atol=1e-4, rtol=0)


@needed
def test_in_the_memory_of_the_file(tmp_path: Path) -> None:
    """Where matrices are what a model is made of, and as the model pool counts them."""
    path, sizes = tmp_path / "tiny.gguf", {"hidden_size": 256, "intermediate_size": 512}
    gguf_models.llama_file(path, Type.Q4_1, **sizes)
    loaded = LoadedModel(lambda: TextModel.load(path), "cpu")
    assert loaded.nbytes < 1.15 * path.stat().st_size


@needed
def test_of_a_type_without_a_kernel_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, sizes = tmp_path / "tiny.gguf", {"hidden_size": 256, "intermediate_size": 256}
    model = checkpoints.build(checkpoints.llama(**{**gguf_models.SIZES, **sizes}))
    gguf_models.save(path, model, "llama", Type.TQ2_0, permuted=True)
    lm = language_model.load(path, dtype=torch.float32, packed=True)
    assert not [module for module in lm.modules() if isinstance(module, BlockLinear)]
    assert [record.getMessage().partition("tensors of ")[2] for record in caplog.records] == [
        "TQ2_0 are dequantized to float32, as there is no kernel for them"
    ]
    with torch.inference_mode():
        torch.testing.assert_close(lm(IDS), model(IDS).logits, atol=1e-4, rtol=0)


def test_a_precision_that_is_asked_for_is_given(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    gguf_models.llama_file(path, Type.Q8_0)
    lm = TextModel.load(path, precision="fp32").lm
    assert not [module for module in lm.modules() if isinstance(module, BlockLinear)]


@needed
def test_inputs_in_int8_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type.Q8_0)
    lm = TextModel.load(path, precision="a8").lm
    with torch.inference_mode():
        found, exact = lm(IDS), theirs(IDS).logits
    assert 1e-4 < (found - exact).norm() / exact.norm() < 0.1
    gguf_models.llama_file(path, Type.F32)
    with pytest.raises(BadRequest, match="#a8 is for GGUF files on a CPU"):
        TextModel.load(path, precision="a8")


@pytest.mark.parametrize("free", [8 << 30, 1 << 10])
def test_without_kernels_blocks_stay_only_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type.Q4_0)
    for module in (block_weights, block_matrix):
        monkeypatch.setattr(module, "kernels", lambda: None)
    monkeypatch.setattr(block_weights.psutil, "virtual_memory", lambda: type("Memory", (), {"available": free}))
    lm = language_model.load(path, dtype=torch.float32, packed=True)
    assert any(isinstance(module, BlockLinear) for module in lm.modules()) == (free < 1 << 20)
    with torch.inference_mode():
        torch.testing.assert_close(lm(IDS), theirs(IDS).logits, atol=1e-4, rtol=0)
