"""A row of several documents gives what each gives alone, in every precision and with every kind of position."""

import pytest
import tiny_corpus
import torch
from torch import Tensor

from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.training.packed_attention import PackedAttention

CASES = [
    {},
    {"num_kv_heads": 1},
    {"positions": "alibi"},
    {"window": 4},
    {"softcap": 3.0},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: next(iter(case), "plain"))
@pytest.mark.parametrize("small", [False, True], ids=["fp32", "bf16"])
def test_documents_do_not_see_each_other(case: dict[str, object], small: bool) -> None:
    torch.manual_seed(0)
    model = LanguageModel(transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50, **case}))
    ids = torch.randint(50, (2, 14))
    documents = torch.tensor([[0] * 5 + [1] * 9, [2] * 14])
    positions = torch.cat((torch.arange(5), torch.arange(9)))

    def run(ids: Tensor, positions: Tensor, documents: Tensor | None) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=small):
            hidden: Tensor = model.hidden(ids, PackedAttention(documents), positions=positions)
        return hidden.float()

    both = run(ids, torch.stack((positions, torch.arange(14))), documents)
    alone = [run(ids[:1, :5], torch.arange(5), None), run(ids[:1, 5:], torch.arange(9), None)]
    tolerance = 5e-2 if small else 1e-4
    torch.testing.assert_close(both[:1], torch.cat(alone, 1), atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(both[1:], run(ids[1:], torch.arange(14), None), atol=tolerance, rtol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(both[1:].detach(), model.hidden(ids[1:]), atol=max(tolerance, 1e-4), rtol=tolerance)
