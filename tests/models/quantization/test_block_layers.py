"""Layers over GGUF's blocks take the place of plain ones; a tied head shares the embedding's matrix."""

import pytest
import torch
from packed_tensors import packed
from torch import nn

from mmgen.models.quantization.block_layers import BlockEmbedding, BlockLinear, replace


@pytest.fixture
def model() -> nn.ModuleDict:
    return nn.ModuleDict({"words": nn.Embedding(40, 64), "head": nn.Linear(64, 40)})


def test_a_tied_head_shares_the_matrix(model: nn.ModuleDict) -> None:
    tensor, bias = packed("Q8_0", 40, 64), torch.randn(40)
    matrix = replace(model, "words", [tensor])
    replace(model, "head", matrix, bias)
    words, head = model["words"], model["head"]
    assert isinstance(words, BlockEmbedding) and isinstance(head, BlockLinear) and head.matrix is words.matrix is matrix
    assert words.weight.dtype is torch.float32 and not list(model.parameters()) and not model.state_dict()
    x = words(torch.tensor([[1, 39]]))
    assert torch.equal(x, tensor.dequantize()[[1, 39]][None])
    torch.testing.assert_close(head(x), x @ tensor.dequantize().T + bias)
    assert head(x.bfloat16()).dtype is torch.bfloat16


def test_another_shape_is_refused(model: nn.ModuleDict) -> None:
    with pytest.raises(ValueError, match="head is 40 x 64, the packed matrix 41 x 64"):
        replace(model, "head", [packed("Q8_0", 41, 64)])
