"""Small shapes of every kind, models with random weights in them, and ids for them to read."""

from dataclasses import replace

import torch

from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.transformer_config import TransformerConfig

LLAMA = TransformerConfig(
    vocab_size=50, hidden_size=32, layers=2, heads=4, num_kv_heads=2, intermediate_size=48,
    max_tokens=64, positions="rotary", norm="rms",
    norm_at="pre", norm_eps=1e-6, activation="silu", gated=True, causal=True, embedding_norm=False,
)  # fmt: skip
KINDS: dict[str, TransformerConfig] = {
    "plain": LLAMA,
    "window": replace(LLAMA, window=4, windowed=(True, False)),
    "softcap": replace(LLAMA, softcap=1.0, window=5),
    "sparse": replace(LLAMA, sparse_block=3, sparse_local=2),
    "alibi": replace(LLAMA, positions="alibi"),
    "relative": replace(LLAMA, positions="relative", num_kv_heads=4),
    "partial": replace(LLAMA, rotary_dim=4, qk_norm=True),
    "learned": replace(LLAMA, positions="learned", norm_at="post"),
    "experts": replace(LLAMA, experts=3),
}


def model(config: TransformerConfig, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    made = LanguageModel(config).eval()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(50, shape, generator=torch.Generator().manual_seed(seed))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)
