"""What a model shows before it runs on our KV cache: what it keeps in a layer, and that nothing crosses from text to text."""

from typing import Any

import pytest
import tiny_causal
import torch
from torch import nn

from mmgen.models.transformer_config import KVLayer
from mmgen.models.transformers_backend.paged import UnpagedError
from mmgen.models.transformers_backend.self_check import checked


def check(model: Any) -> Any:
    return checked(model, tiny_causal.VOCABULARY, 256)


def test_what_a_token_leaves_is_found() -> None:
    paged = check(tiny_causal.build("deepseek_v3", num_hidden_layers=3))
    assert paged.config.kv_layers == (KVLayer(4, 16, 8),) * 3  # latent attention: keys with a rotated half beside the other
    assert paged.kv_bytes_per_token == 3 * 4 * (16 + 8) * 4
    assert check(tiny_causal.build("olmo2")).config.kv_layers == (KVLayer(2, 8, 8),) * 2


class Shifted(nn.Module):
    """Mixes each token with the one before it in the row, whosever that is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x + torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), 1))  # type: ignore[no-any-return]


def mixed() -> Any:
    model = tiny_causal.build("olmo2")
    model.model.layers[1].mlp = Shifted(model.model.layers[1].mlp)
    return model


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (mixed, "differ by .* from the library's"),
        (lambda: tiny_causal.build("doge"), "fail on our KV cache .*MaskRule"),
        (lambda: tiny_causal.build("bart"), "differ by"),  # positions that are counted in the row
        (lambda: tiny_causal.build("olmo2").eval().requires_grad_(False).apply(without_causality), "follow no rule of ours"),
    ],
    ids=["token shift", "masks of its own", "positions of its own", "both ways"],
)
def test_refused(make: Any, told: str) -> None:
    with pytest.raises(UnpagedError, match=told):
        check(make())


def without_causality(module: nn.Module) -> None:
    if hasattr(module, "config"):
        module.config.is_causal = False
