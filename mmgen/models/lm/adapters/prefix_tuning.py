"""Prefix tuning: learned keys and values that every text sees before itself, in PEFT's files. Knows no tokens."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.transformer_config import TransformerConfig

KEY = "prompt_embeddings"
KINDS = ("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING")
"""Of PEFT's adapters: keys and values; vectors; vectors that a network gave, saved as what it gave."""


class Prefix(nn.Module):
    """`tokens` places of every layer's keys and values; Li and Liang 2021, eq. 3. Texts stand behind them."""

    def __init__(self, config: TransformerConfig, tokens: int) -> None:
        super().__init__()
        if config.state_bytes:
            raise BadRequest("recurrent layers have no keys and values to put before a text; take a LoRA")
        self.shape = (tokens, config.layers, 2, config.kv_heads, config.head_size)
        self.values = nn.Parameter(
            torch.empty(tokens, config.layers * 2 * config.kv_heads * config.head_size)
        )  # as PEFT has it
        nn.init.normal_(self.values, std=0.02)

    @torch.no_grad()
    def begin(self, lm: LanguageModel, seed: int = 0) -> None:
        """Starts at the keys and values of words drawn at random, from which it learns faster; section 7.4 there."""
        rng, cache = torch.Generator().manual_seed(seed), GrowingCache()
        ids = torch.randint(lm.config.vocab_size, (1, self.shape[0]), generator=rng)
        lm.hidden(ids.to(self.values.device), cache=cache)
        self.values.copy_(_as_values(cache))

    @property
    def tokens(self) -> int:
        return self.shape[0]

    def layers(self) -> Tensor:
        """(layers, 2, kv_heads, P, d) keys and values."""
        return self.values.view(self.shape).permute(1, 2, 3, 0, 4)

    def cache(self, rows: int) -> GrowingCache:
        """What `rows` texts see before themselves; a pass reads and extends it."""
        cache, device = GrowingCache(), self.values.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.values.dtype
        for layer, (k, v) in enumerate(self.layers().to(dtype)):
            cache.layers[layer] = (_rows(k, rows), _rows(v, rows))
        return cache


def save(prefix: Prefix, folder: Path, base: str = "") -> None:
    """Writes adapter_model.safetensors and adapter_config.json. `base`: the model's reference."""
    from safetensors.torch import save_file

    tokens, layers, _, groups, head = prefix.shape
    folder.mkdir(parents=True, exist_ok=True)
    save_file({KEY: prefix.values.detach().contiguous()}, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    values = {
        "peft_type": "PREFIX_TUNING", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "num_virtual_tokens": tokens,
        "num_layers": layers, "num_attention_heads": groups, "token_dim": groups * head, "encoder_hidden_size": groups * head,
        "num_transformer_submodules": 1, "prefix_projection": False, "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(values, indent=2) + "\n")


@torch.inference_mode()
def load(lm: LanguageModel, folder: Path) -> Prefix:
    """A prefix that PEFT or `save` wrote: keys and values themselves, or vectors that are read instead of words.

    Raises BadWeights for another kind, or one of another model.
    """
    values = safetensors_io.read_json(folder / "adapter_config.json")
    kind, tokens = values.get("peft_type"), int(values.get("num_virtual_tokens", 0))
    if kind not in KINDS:
        raise BadWeights(f"{folder} is an adapter of the kind {kind}; {', '.join(KINDS)} are read here")
    if tokens < 1 or tokens >= lm.config.max_tokens or lm.encoder is not None:
        raise BadWeights(f"{folder} puts {tokens} tokens before a text; a decoder of {lm.config.max_tokens} tokens takes fewer")
    tensors, prefix = safetensors_io.read(folder / "adapter_model.safetensors"), Prefix(lm.config, tokens)
    wanted = tuple(prefix.values.shape) if kind == KINDS[0] else (tokens, lm.config.hidden_size)
    found = tuple(tensors[KEY].shape) if KEY in tensors else "missing"
    if found != wanted:
        raise BadWeights(f"{folder}: {KEY} is {found} instead of {wanted}; take a prefix made for this model")
    prefix.values.copy_(tensors[KEY].float() if kind == KINDS[0] else _read(lm, tensors[KEY]))
    return prefix


def _read(lm: LanguageModel, vectors: Tensor) -> Tensor:
    """Keys and values of (P, D) vectors that stand in the place of words; Lester et al. 2021, 2. As `Prefix.values`."""
    cache = GrowingCache()
    lm.transformer.read_vectors(vectors.to(lm.device, lm.dtype)[None], cache)
    return _as_values(cache)


def _as_values(cache: GrowingCache) -> Tensor:
    """One text's keys and values of all layers as PEFT has them, (P, layers * 2 * kv_heads * d)."""
    layers = [torch.stack((k[0], v[0])) for _, (k, v) in sorted(cache.layers.items())]  # (2, kv_heads, P, d) each
    return torch.stack(layers).permute(3, 0, 1, 2, 4).flatten(1)


def _rows(x: Tensor, rows: int) -> Tensor:
    return x[None].expand(rows, -1, -1, -1)
