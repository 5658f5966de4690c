"""Integers of other programs in GGUF's blocks: not one value differs from what they stand for."""

import pytest
import torch

from mmgen.models.quantization.exact_blocks import blocks
from mmgen.models.quantization.formats.stored import IntegerMatrix


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


@pytest.mark.parametrize(
    "matrix",
    [
        IntegerMatrix(numbers(-8, 7), halves(8)),
        IntegerMatrix(numbers(-8, 7, (6, 120)), halves(1)),
        IntegerMatrix(numbers(-8, 7), halves(4), group_of=torch.randperm(128) // 32),
        IntegerMatrix(numbers(-8, 7), halves(4).float() + 1e-6),
        IntegerMatrix(numbers(-129, 127), halves(4)),
        IntegerMatrix(numbers(0, 255), halves(4), offset=halves(4)),
    ],
    ids=["groups of 16", "width", "act-order", "scales in fp32", "too large", "8 bits with an offset"],
)
def test_what_blocks_cannot_say(matrix: IntegerMatrix) -> None:
    assert blocks(matrix) is None
