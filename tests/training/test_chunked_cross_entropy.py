"""The loss by parts equals the plain one, and so do its gradients."""

import pytest
import tiny_corpus
import torch
import torch.nn.functional as F

from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.training.chunked_cross_entropy import IGNORED, loss_of


def lm(**other: object) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50, **other}))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_equals_the_plain_loss(precision: torch.dtype) -> None:
    model, tolerance = lm(), 1e-5 if precision is torch.float32 else 2e-2
    targets = torch.randint(50, (2, 9))
    targets[0, 3:6] = IGNORED
    found = []
    for own in (True, False):
        torch.manual_seed(1)
        hidden = torch.randn(2, 9, 32, requires_grad=True)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            if own:
                loss = loss_of(model, hidden, targets, part=4)
            else:
                loss = F.cross_entropy(model.logits(hidden).flatten(0, 1).float(), targets.flatten())
        (3 * loss).backward()
        found.append((loss.detach(), hidden.grad, model.head.weight.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


def test_no_gradients_no_work() -> None:
    with torch.no_grad():
        hidden, targets = torch.randn(1, 6, 32), torch.randint(50, (1, 6))
        expected = F.cross_entropy(lm().logits(hidden)[0], targets[0])
        torch.testing.assert_close(loss_of(lm(), hidden, targets), expected)


def test_a_capped_head_takes_the_plain_way() -> None:
    model = lm(head_softcap=5.0)
    hidden, targets = torch.randn(1, 6, 32), torch.randint(50, (1, 6))
    expected = F.cross_entropy(model.logits(hidden)[0], targets[0])
    torch.testing.assert_close(loss_of(model, hidden, targets), expected)


def test_nothing_counts() -> None:
    loss = loss_of(lm(), torch.randn(1, 4, 32), torch.full((1, 4), IGNORED))
    assert loss == 0
