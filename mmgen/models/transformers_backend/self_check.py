"""A model of transformers on our KV cache, once it has shown on a few tokens that its results stay the library's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, attend_rows
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.transformer_config import KVLayer
from mmgen.models.transformers_backend.linear_layers import CalledLinears
from mmgen.models.transformers_backend.paged import PagedUpstream, UnpagedError, UpstreamConfig

TOKENS = 9
"""Of each of the two texts that are tried."""
CUTS = ((4, 6), (1, 1), (4, 2))
"""How many of their tokens each pass reads."""
NEAR, NEAR_HALF = 1e-3, 5e-2
"""By how much logits may differ, of their norm: in fp32, and in 16 bits."""


class LayerRecorder:
    """An attention backend for one text, without a pool: notes what a token leaves in each layer, and who sees it."""

    def __init__(self) -> None:
        self.layers: list[KVLayer] = []
        self.rules: list[AttentionRules] = []

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.rules.append(rules)
        self.layers.append(KVLayer(k.shape[1], k.shape[3], v.shape[3]))
        return attend_rows(rules, q, k, v)


@torch.inference_mode()
def checked(model: Any, vocab_size: int, max_tokens: int) -> PagedUpstream:
    """`model`, as the library runs it -> on our KV cache. Two texts are read side by side and in chunks.

    Raises UnpagedError, which says why, where the logits are not those of the library's plain forward pass.
    """
    paged, device = PagedUpstream(model, UpstreamConfig(vocab_size, max_tokens)), model.device
    ids = torch.randint(min(vocab_size, 1000), (2, TOKENS), generator=torch.Generator().manual_seed(0)).to(device)
    places = torch.arange(TOKENS, device=device)
    try:
        with CalledLinears(model) as linears:
            expected = model(input_ids=ids, use_cache=False, return_dict=True).logits
        recorder = LayerRecorder()
        paged.read(ids[:1], recorder, places, places)
        if not recorder.layers:
            raise UnpagedError("none of its layers lets its attention be chosen")
        if _forgets(model.config, recorder.rules):
            raise UnpagedError("the library's cache forgets tokens that its masks still show")
        paged.config = replace(paged.config, kv_layers=tuple(recorder.layers))
        found = _in_chunks(paged, ids.tolist())
        expected = torch.stack([row[ends] for row, ends in zip(expected, _ends(), strict=True)])
    except UnpagedError:
        raise
    except Exception as why:  # whatever somebody's layers raise when they are given a rule for a mask
        raise UnpagedError(f"its layers fail on our KV cache ({type(why).__name__}: {str(why).splitlines()[0][:120]})") from why
    error = float((found - expected).float().norm() / expected.float().norm())
    if not error < (NEAR if paged.dtype == torch.float32 else NEAR_HALF):
        raise UnpagedError(f"its logits on our KV cache differ by {error:.0e} from the library's")
    paged.linears = frozenset(linears.found)
    return paged


def _forgets(config: Any, rules: Sequence[AttentionRules]) -> bool:
    """Whether the library's cache keeps fewer tokens for a layer than its rule shows: its `generate` differs from `forward`."""
    from transformers import DynamicCache

    kept = [getattr(layer, "sliding_window", None) for layer in DynamicCache(config=config).layers]
    if len(kept) != len(rules):
        return False  # layers that share keys and values; not one call of attention each
    shown = [rule.window or rule.chunk for rule in rules]
    return any(few is not None and (many is None or many > few) for few, many in zip(kept, shown, strict=True))


def _ends() -> list[list[int]]:
    """Where in each text the chunks end."""
    return [[at - 1 for at in accumulate(counts)] for counts in zip(*CUTS, strict=True)]


def _in_chunks(paged: PagedUpstream, rows: Sequence[Sequence[int]]) -> Tensor:
    """Two texts of equal length through a pool -> (2, passes, V) logits of each text's last token in each pass."""
    pool = KVPool(paged.config, len(rows), str(paged.device), paged.dtype)
    tables = [BlockTable(len(row)) for row in rows]
    found: list[list[Tensor]] = [[] for _ in rows]
    for counts in CUTS:
        chunks = [row[table.length : table.length + count] for row, table, count in zip(rows, tables, counts, strict=True)]
        for table, count in zip(tables, counts, strict=True):
            pool.extend(table, count)
        attending = PagedAttention(pool, [PagedSequence(table, n) for table, n in zip(tables, counts, strict=True)])
        ids = torch.tensor([token for chunk in chunks for token in chunk], device=paged.device)
        places = [at for table, n in zip(tables, counts, strict=True) for at in range(table.length, table.length + n)]
        last = torch.tensor(counts, device=paged.device).cumsum(0) - 1
        _, logits = paged.read(ids[None], attending, torch.tensor(places, device=paged.device), last)
        for row, table, one, count in zip(found, tables, logits, counts, strict=True):
            row.append(one)
            table.length += count
    return torch.stack([torch.stack(row) for row in found])
