"""Linear layers and embeddings over matrices in GGUF's blocks. Knows layers; not what they compute or files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmgen.models.quantization.block_matrix import BlockMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor


class BlockLinear(nn.Module):
    """`x W' + b` with W in GGUF's blocks; CPU only, without gradients."""

    def __init__(self, matrix: BlockMatrix, bias: Tensor | None = None) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, None if bias is None else bias.detach().float().contiguous()
        self.in_features, self.out_features = matrix.inputs, matrix.outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix(x, self.bias)  # type: ignore[no-any-return]


class BlockEmbedding(nn.Module):
    """Vectors of ids, from the rows of a matrix in GGUF's blocks; a tied head multiplies with the same matrix."""

    weight: Tensor

    def __init__(self, matrix: BlockMatrix) -> None:
        super().__init__()
        self.matrix, self.num_embeddings, self.embedding_dim = matrix, matrix.outputs, matrix.inputs
        self.register_buffer("weight", torch.empty(0), persistent=False)  # tells the dtype and device of what it gives

    def forward(self, ids: Tensor) -> Tensor:
        return self.matrix.rows(ids)


def replace(
    holder: nn.Module, name: str, weights: BlockMatrix | Sequence[PackedTensor], bias: Tensor | None = None
) -> BlockMatrix:
    """Puts a packed layer in the place of `holder`'s nn.Linear or nn.Embedding; returns its matrix, for a tied layer to share.

    Args:
        weights: tensors one below the other, as q, k and v, or a matrix that another layer has already.
        bias: of all outputs; None: the linear layer has none.

    Raises ValueError where the shapes are not the layer's.
    """
    matrix = weights if isinstance(weights, BlockMatrix) else BlockMatrix(weights)
    old = getattr(holder, name)
    embeds = isinstance(old, nn.Embedding)
    rows, width = (old.num_embeddings, old.embedding_dim) if embeds else (old.out_features, old.in_features)
    if (matrix.outputs, matrix.inputs) != (rows, width):
        raise ValueError(f"{name} is {rows} x {width}, the packed matrix {matrix.outputs} x {matrix.inputs}")
    setattr(holder, name, BlockEmbedding(matrix) if embeds else BlockLinear(matrix, bias))
    return matrix
