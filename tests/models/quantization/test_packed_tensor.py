"""Matrices in GGUF's blocks: the types' sizes and values are gguf-py's."""

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

from mmgen.models.quantization.packed_tensor import BY_NAME, TYPES, PackedTensor, joined


def packed(name: str, rows: int = 6, columns: int = 512, seed: int = 0) -> PackedTensor:
    """Rounded by gguf-py, or random blocks of a type that it only reads."""
    random = np.random.default_rng(seed)
    try:
        blocks = quantize(random.standard_normal((rows, columns)).astype(np.float32), GGMLQuantizationType[name])
    except NotImplementedError:
        blocks = random.integers(0, 60, (rows, BY_NAME[name].row_bytes(columns)), dtype=np.uint8)
    return PackedTensor(name, (rows, columns), torch.from_numpy(blocks.view(np.uint8)))


def test_sizes_are_ggufs() -> None:
    for number, one in TYPES.items():
        assert GGMLQuantizationType(number).name == one.name
        assert GGML_QUANT_SIZES[GGMLQuantizationType(number)] == (one.values, one.nbytes)


@pytest.mark.parametrize(
    "name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "MXFP4"]
)
def test_values_are_ggufs(name: str) -> None:
    one = packed(name)
    theirs = dequantize(one.blocks.numpy(), GGMLQuantizationType[name])
    assert np.array_equal(one.dequantize().numpy(), theirs, equal_nan=True)
    assert one.blocks.shape == (6, BY_NAME[name].row_bytes(512))


def test_rows_and_what_stands_below() -> None:
    one, other = packed("Q4_1"), packed("Q4_1", rows=2, seed=1)
    order = torch.tensor([3, 0, 5])
    assert torch.equal(one.rows(order).dequantize(), one.dequantize()[order])
    assert torch.equal(one.rows(slice(1, 3)).dequantize(), one.dequantize()[1:3])
    whole = joined([one, other])
    assert whole is not None and whole.shape == (8, 512)
    assert torch.equal(whole.dequantize(), torch.cat((one.dequantize(), other.dequantize())))
    assert joined([one, packed("Q8_0")]) is None
    assert joined([one]) is one
