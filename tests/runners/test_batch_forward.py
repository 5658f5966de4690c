"""A text's logits, keys and values are the same, to the bit, however its tokens are divided among passes, and beside whom."""

from dataclasses import replace

import pytest
import torch
from transformer_configs import KINDS, LLAMA, ids, model

from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.quantization.int8 import quantize
from mmgen.models.transformer_config import TransformerConfig
from mmgen.runners.batch_forward import SequenceChunk, read

PROMPT, ALL = 75, 90
WIDE = replace(LLAMA, hidden_size=64, intermediate_size=96, max_tokens=128)
SHAPES: dict[str, TransformerConfig] = {
    **{kind: replace(shape, max_tokens=128) for kind, shape in KINDS.items()},
    "kernels": WIDE,
    "int8": WIDE,
    "int4": replace(WIDE, intermediate_size=64),
    "bf16": WIDE,
}
WAYS = {
    "whole": (PROMPT,),
    "chunks": (7, 1, 40, PROMPT - 48),
    "all but one": (PROMPT - 1, 1),
    "an answer": (PROMPT - 9, *(1,) * 9),
    "as after a preemption": (50, ALL - 50),
    "as guesses are checked": (PROMPT, 1, 4, 2, ALL - PROMPT - 7),
}
"""Of tokens in a pass; those behind come one by one."""


@torch.inference_mode()
@pytest.mark.parametrize("kind", SHAPES)
def test_any_division_and_any_company(kind: str) -> None:
    lm = model(SHAPES[kind])
    if kind in ("int8", "int4"):
        quantize(lm, kind)
    lm = lm.bfloat16() if kind == "bf16" else lm
    lm.pack()
    tokens = ids(ALL, seed=1).tolist()

    def run(counts: tuple[int, ...], company: bool) -> tuple[torch.Tensor, ...]:
        pool, table, other = KVPool(lm.config, 40, dtype=lm.dtype), BlockTable(0), BlockTable(0)
        logits = []
        for count in counts:
            parts = [SequenceChunk(table, tokens[table.length : table.length + count], 1)]
            if company:
                parts.insert(0, SequenceChunk(other, [3] * (1 if other.length > 9 else 9), 1))
            for part in parts:
                assert pool.extend(part.table, len(part.ids)) is not None
            logits.append(read(lm, pool, parts)[-1].logits)
            for part in parts:
                part.table.length += len(part.ids)
        places = [slot for first, size in table.runs for slot in range(16 * first, 16 * (first + size))][:ALL]
        return logits[-1], *(x[:, places].clone() for x in (*pool.keys, *pool.values))

    expected = run((ALL,), False)
    for name, counts in WAYS.items():
        for company in (False, True):
            for one, two in zip(expected, run((*counts, *(1,) * (ALL - sum(counts))), company), strict=True):
                assert torch.equal(one, two), (name, company)
