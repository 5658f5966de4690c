"""Products of bfloat16 in blocks: sums of exact products of rounded factors, the same to the bit alone and among others."""

from dataclasses import replace

import pytest
import torch
from block_models import LLAMA
from decoder_checks import written
from packed_tensors import packed
from torch import nn

from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.quantization import bf16_blocks, block_matrix
from mmgen.models.quantization.block_layers import BlockEmbedding, BlockLinear
from mmgen.models.quantization.block_matrix import BlockMatrix

pytestmark = pytest.mark.usefixtures("two_threads")
needed = pytest.mark.skipif(not bf16_blocks.available(), reason="the processor has no products of bfloat16, or AMX")


@needed
@pytest.mark.parametrize("shape", [(100, 512), (16, 64), (1, 2048)])
def test_products_of_rounded_factors(shape: tuple[int, int]) -> None:
    tensor = packed("BF16", *shape)
    matrix, weight = BlockMatrix([tensor]), tensor.dequantize()
    matrix.planes = block_matrix.BF16
    x, bias = torch.randn(31, shape[1]), torch.randn(shape[0])
    exact = x.bfloat16().double() @ weight.double().T
    together = matrix(x, bias)
    assert (together - bias - exact).abs().max() <= 3e-6 * exact.abs().max()
    assert all(torch.equal(matrix(x[:rows], bias), together[:rows]) for rows in range(1, 31))
    x[3, 5], x[4] = float("nan"), 0
    assert not matrix(x)[3].isfinite().any() and not matrix(x)[4].any() and matrix(x)[5].isfinite().all()


@needed
@pytest.mark.parametrize("tied", [True, False])
def test_a_packed_model_computes_what_it_did(tied: bool) -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(LLAMA, tied=tied, qkv_bias=True)).bfloat16().eval()
    ids = torch.randint(0, 50, (1, 20))
    with torch.inference_mode():
        expected = model.float()(ids)
        model.bfloat16().pack()
        found = model(ids)
    assert model.dtype is torch.float32 and {one.dtype for one in model.parameters()} == {torch.float32}
    words, head = model.transformer.embed.words, model.head
    assert isinstance(words, BlockEmbedding) and isinstance(head, BlockLinear) and (head.matrix is words.matrix) == tied
    assert not any(isinstance(one, nn.Linear | nn.Embedding) for one in model.modules())
    assert 0 < (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("odd", ["width", "dtype", "processor"])
def test_what_it_does_not_take_stays_as_it_is(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    width = 48 if odd == "width" else 64
    model = nn.Sequential(nn.Embedding(40, width), nn.Linear(width, 40)).to(torch.float32 if odd == "dtype" else torch.bfloat16)
    if odd == "processor":
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    words = model[0]
    assert isinstance(words, nn.Embedding) and not bf16_blocks.pack(model, words)
    assert type(model[0]) is nn.Embedding and type(model[1]) is nn.Linear


@needed
def test_texts_are_the_same_alone_and_together() -> None:
    torch.manual_seed(0)
    model = LanguageModel(replace(LLAMA, tied=True, qk_norm=True)).bfloat16().eval()
    model.pack()
    texts = [torch.randint(0, 50, (count,)).tolist() for count in (37, 5, 20)]
    together = written(model, texts, budget=200)
    assert together == [written(model, [text])[0] for text in texts]  # prompts in chunks of 24 tokens
    assert len({token for text in together for token in text}) > 2
