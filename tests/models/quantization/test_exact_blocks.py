"""Integers of other programs in GGUF's blocks: not one value differs from what they stand for."""

import pytest
import torch

from mmgen.models.quantization.block_matrix import BlockMatrix
from mmgen.models.quantization.exact_blocks import blocks, floats
from mmgen.models.quantization.formats.stored import IntegerMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor


def numbers(least: int, most: int, shape: tuple[int, int] = (6, 128)) -> torch.Tensor:
    found = torch.randint(least, most + 1, shape, generator=torch.Generator().manual_seed(0))
    found[0, :2] = torch.tensor([least, most])
    return found


def halves(groups: int, outputs: int = 6) -> torch.Tensor:
    return torch.rand(outputs, groups, generator=torch.Generator().manual_seed(1)).half() / 16


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("least", "most", "kind"), [(-8, 7, "Q4_0"), (-4, 3, "Q4_0"), (-15, 15, "Q5_0"), (-16, 4, "Q5_0"), (-128, 127, "Q8_0")]
)
def test_with_a_zero_in_the_middle(least: int, most: int, kind: str, groups: int) -> None:
    matrix = IntegerMatrix(numbers(least, most), halves(groups))
    found = blocks(matrix)
    assert found is not None and found.type == kind and torch.equal(found.dequantize(), matrix.restored())


@pytest.mark.parametrize(("most", "kind"), [(15, "Q4_1"), (31, "Q5_1")])
def test_with_an_offset(most: int, kind: str) -> None:
    matrix = IntegerMatrix(numbers(0, most), halves(2), offset=-halves(2).flip(0))
    found = blocks(matrix)
    assert found is not None and found.type == kind and torch.equal(found.dequantize(), matrix.restored())


def test_with_zero_points() -> None:
    """As AWQ has them: four bits become five."""
    zero = torch.randint(0, 16, (6, 4), generator=torch.Generator().manual_seed(2))
    matrix = IntegerMatrix(numbers(0, 15), halves(4), zero, group_of=torch.arange(128) // 32)
    found = blocks(matrix)
    assert found is not None and found.type == "Q5_0" and torch.equal(found.dequantize(), matrix.restored())


def multiplied(tensors: list[PackedTensor], expected: torch.Tensor) -> None:
    """As a layer with a bias does it, some rows and one."""
    matrix, bias, x = BlockMatrix(tensors), torch.rand(len(expected)), torch.randn(5, expected.shape[1])
    assert not matrix.plain
    with torch.inference_mode():
        torch.testing.assert_close(matrix(x, bias), x @ expected.T + bias, atol=1e-3, rtol=1e-4)
        assert torch.equal(matrix(x[:1], bias), matrix(x, bias)[:1])


def test_columns_in_the_order_of_their_activations() -> None:
    """GPTQ's act-order: groups lie anywhere in a row."""
    order = torch.randperm(128, generator=torch.Generator().manual_seed(3)) // 32
    matrix = IntegerMatrix(numbers(0, 15), halves(4), torch.full((6, 4), 8), group_of=order)
    found = blocks(matrix)
    assert found is not None and found.type == "Q4_0" and torch.equal(found.dequantize(), matrix.restored())
    assert torch.equal(found.rows(slice(2, 4)).dequantize(), matrix.restored()[2:4])
    multiplied([found, found], torch.cat([matrix.restored()] * 2))


@pytest.mark.parametrize(
    "scale",
    [torch.rand(6, 1) / 99, torch.tensor([[0.01]]).expand(6, 1), (torch.linspace(0.1, 1, 24).view(6, 4) / 2e6).bfloat16()],
)
def test_scales_that_fp16_cannot_say(scale: torch.Tensor) -> None:
    """One a row is the row's factor, whatever its digits; those of groups in bf16 are brought into reach by powers of two."""
    matrix = IntegerMatrix(numbers(-127, 127), scale)
    found = blocks(matrix)
    assert found is not None and found.type == "Q8_0" and found.factors is not None
    assert torch.equal(found.dequantize(), matrix.restored())
    multiplied([found], matrix.restored())


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("shape", [(), (1,), (6,), (6, 1)])
def test_float8_with_a_scale_for_all_or_each_row(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    values, scale = torch.randn(6, 64).to(kind), torch.rand(shape) / 77
    found = floats(values, scale)
    expected = values.float() * scale.reshape(-1, 1)
    assert found is not None and found.type == "BF16" and torch.equal(found.dequantize(), expected)
    multiplied([found], expected)


def test_other_floats_are_none_of_ours() -> None:
    values = torch.randn(64, 64).to(torch.float8_e4m3fn)
    assert floats(values, torch.rand(8, 8)) is None and floats(values.float(), torch.rand(64)) is None
    assert floats(values, torch.ones(64, dtype=torch.uint8)) is None


@pytest.mark.parametrize(
    "matrix",
    [
        IntegerMatrix(numbers(-8, 7), halves(8)),
        IntegerMatrix(numbers(-8, 7, (6, 120)), halves(1)),
        IntegerMatrix(numbers(-8, 7), halves(4), group_of=torch.arange(128) % 5 % 4),
        IntegerMatrix(numbers(-8, 7), halves(4).float() + 1e-6),
        IntegerMatrix(numbers(-129, 127), halves(4)),
        IntegerMatrix(numbers(0, 255), halves(4), offset=halves(4)),
    ],
    ids=["groups of 16", "width", "groups of unequal sizes", "scales of groups in fp32", "too large", "8 bits with an offset"],
)
def test_what_blocks_cannot_say(matrix: IntegerMatrix) -> None:
    assert blocks(matrix) is None
