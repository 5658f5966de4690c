"""Products straight from GGUF's blocks: gguf-py's values, as exact as fp32, the same alone and among others."""

import ctypes
import subprocess
from pathlib import Path

import pytest
import torch
from packed_tensors import KERNEL_TYPES, packed

from mmgen.models.cpu import build
from mmgen.models.cpu.kernels import Kernels, kernels
from mmgen.models.quantization import block_matrix
from mmgen.models.quantization.block_matrix import FAST, BlockMatrix

pytestmark = pytest.mark.usefixtures("two_threads")
needed = pytest.mark.skipif(kernels() is None, reason="there are no kernels here")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without kernels."""
    monkeypatch.setattr(block_matrix, "kernels", lambda: None)


@needed
@pytest.mark.parametrize("kind", KERNEL_TYPES)
@pytest.mark.parametrize("shape", [(70, 512), (16, 256), (1, 2048)])
def test_values_are_ggufs_and_products_as_exact_as_fp32(kind: str, shape: tuple[int, int]) -> None:
    tensor = packed(kind, *shape)
    matrix, weight = BlockMatrix([tensor]), tensor.dequantize()
    assert matrix.kernels is not None
    assert torch.equal(matrix.rows(torch.arange(shape[0])), weight)
    x, bias = torch.randn(19, shape[1]) * torch.logspace(-2, 2, shape[1]), torch.randn(shape[0])
    exact = x.double() @ weight.double().T
    found = matrix(x, bias) - bias
    assert (found - exact).abs().max() <= 3e-6 * exact.abs().max()
    together = matrix(x, bias)
    assert all(torch.equal(matrix(x[:rows], bias), together[:rows]) for rows in range(1, 19))


@needed
@pytest.mark.parametrize("kind", KERNEL_TYPES)
def test_in_int8_rows_are_independent_too_and_close(kind: str) -> None:
    tensor, x = packed(kind, 48, 512), torch.randn(11, 512)
    matrix = BlockMatrix([tensor])
    matrix.planes = FAST
    exact, found = x @ tensor.dequantize().T, matrix(x)
    assert (found - exact).norm() < 0.01 * exact.norm()
    assert all(torch.equal(matrix(x[:rows]), found[:rows]) for rows in range(1, 11))


@needed
@pytest.mark.parametrize("rows", [1, 5])
def test_one_matrix_of_several_types(rows: int) -> None:
    tensors = [packed(kind, size, 512, seed=size) for kind, size in (("Q4_K", 64), ("Q6_K", 20), ("F16", 7), ("Q4_K", 32))]
    matrix, weight = BlockMatrix(tensors), torch.cat([tensor.dequantize() for tensor in tensors])
    x, ids = torch.randn(rows, 512), torch.tensor([[0, 63, 64], [90, 122, 84]])
    torch.testing.assert_close(matrix(x), x @ weight.T, atol=2e-3, rtol=1e-4)
    assert torch.equal(matrix.rows(ids), weight[ids])


@needed
def test_as_many_bytes_as_the_file() -> None:
    for kind in KERNEL_TYPES:
        tensor = packed(kind, 64, 512)
        size = sum(one.nbytes for one in BlockMatrix([tensor]).blocks)
        assert size <= 1.03 * tensor.blocks.nbytes, kind


@needed
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "F16"])
def test_what_is_not_finite_stays_so_and_zeros_are_zeros(kind: str, wrong: float) -> None:
    matrix, x = BlockMatrix([packed(kind, 16, 64)]), torch.ones(3, 64)
    x[0, 5], x[1] = wrong, 0
    y = matrix(x)
    assert not y[0].isfinite().any() and not y[1].any() and y[2].isfinite().all()


@pytest.mark.parametrize("kind", ["Q4_1", "Q6_K", "F16", "Q8_0"])
def test_without_kernels(plain: None, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_matrix, "ROWS", 16)  # several pieces
    tensors = [packed(kind, 40, 256), packed("Q5_0", 8, 256)]
    matrix, weight = BlockMatrix(tensors), torch.cat([tensor.dequantize() for tensor in tensors])
    x, ids, bias = torch.randn(2, 3, 256), torch.tensor([0, 39, 40, 47]), torch.randn(48)
    assert matrix.kernels is None
    torch.testing.assert_close(matrix(x, bias), x @ weight.T + bias, atol=1e-4, rtol=1e-4)
    assert torch.equal(matrix.rows(ids), weight[ids])


def test_a_width_or_type_that_the_kernel_does_not_take_is_dequantized() -> None:
    for tensor in (packed("F16", 8, 50), packed("Q2_K", 8, 256)):
        matrix, x = BlockMatrix([tensor]), torch.randn(2, tensor.shape[1])
        assert matrix.kernels is None
        torch.testing.assert_close(matrix(x), x @ tensor.dequantize().T, atol=1e-2, rtol=1e-4)


def test_ids_outside_are_refused() -> None:
    matrix = BlockMatrix([packed("Q8_0", 8, 64)])
    with pytest.raises(IndexError, match="rows are 0 to 7, not 3 to 8"):
        matrix.rows(torch.tensor([3, 8]))


def test_weights_that_left_and_came_back_lie_elsewhere() -> None:
    matrix, x = BlockMatrix([packed("Q4_0", 32, 64)]), torch.randn(2, 64)
    before = matrix(x)
    for tensor in matrix.blocks:
        tensor.data = tensor.data.clone()
    assert torch.equal(matrix(x), before)


@needed
@pytest.mark.parametrize("processor", [["-march=native", "-mno-avx512vnni"], ["-march=x86-64-v3"]])
def test_other_processors_sums_are_the_same(processor: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one without the instruction for four products at once, and of one with AVX2 alone."""
    compiler, library = build.compiler(), tmp_path / "other.so"
    assert compiler is not None
    flags = [flag if flag != "-O3" else "-O1" for flag in build.FLAGS]
    halves = [str(tmp_path / source.with_suffix(".o").name) for source in build.SOURCES]
    for source, half in zip(build.SOURCES, halves, strict=True):
        subprocess.run([compiler, "-c", *processor, *flags, str(source), "-o", half], check=True)
    subprocess.run([compiler, "-shared", "-nodefaultlibs", *halves, "-o", str(library)], check=True)
    assert not ctypes.CDLL(str(library)).has_integers()
    tensors, x = [packed(kind, 32, 256) for kind in KERNEL_TYPES], torch.randn(6, 256)
    expected = [BlockMatrix([tensor])(x) for tensor in tensors]
    monkeypatch.setattr(block_matrix, "kernels", lambda: Kernels(library))
    for tensor, same in zip(tensors, expected, strict=True):
        matrix = BlockMatrix([tensor])
        assert torch.equal(matrix(x), same) and torch.equal(matrix(x[:1]), same[:1]), tensor.type
