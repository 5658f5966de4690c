"""How language models choose their precision: a short prompt and a few tokens a pass, judged by their perplexity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmgen.config import assets_dir
from mmgen.models.checkpoints import gguf_checkpoint, quantized
from mmgen.models.cpu.kernels import kernels
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import SIZE, BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.text_model import TextModel
from mmgen.models.quantization import block_matrix
from mmgen.models.quantization.block_layers import BlockLinear
from mmgen.models.tuning import gates
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.texts import PASSAGE, SENTENCES
from mmgen.models.tuning.workload import Workload

PROMPT, GENERATED = 64, 6
"""Tokens of a pass: read in one go, and one by one."""
CHUNK = 256
"""Tokens of a sample document that are read at once."""


class TextWorkload(Workload):
    """Decoders on our own layers. Quantized weights stay as they are; only the inputs of GGUF's blocks may be rounded."""

    kind: ClassVar = "language model"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        if gguf_checkpoint.find(folder) is not None:
            return ("exact",) if kernels() is None else ("exact", "a8")
        rounded = quantized.precision_of(folder) or "quantization_config" in gguf_checkpoint.config_values(folder)
        return ("",) if rounded else ("fp32", "bf16")

    def asked_only(self, folder: Path) -> bool:
        """A GGUF file's are: int8 changes the perplexity of a hundred tokens by 1 % either way, and that of thousands by less
        than 0.2 %."""
        return folder.suffix == ".gguf"

    def takes(self, model: Any) -> bool:
        if not isinstance(model, TextModel) or not isinstance(model.lm, LanguageModel):
            return False
        return model.lm.encoder is None and not model.lm.config.state_bytes

    def run(self, model: TextModel) -> None:
        ids = _ids(model, PASSAGE)[: PROMPT + GENERATED]
        read(model.lm, [ids], [len(ids) - min(GENERATED, len(ids) - 1)] + [1] * min(GENERATED, len(ids) - 1))

    @torch.inference_mode()
    def results(self, model: TextModel, thorough: bool) -> Iterator[np.ndarray]:
        """The logits behind a text, alone and beside another, and then every token's negative log-likelihood."""
        one, other = (_ids(model, text) for text in SENTENCES[9:11])
        size = min(len(one), len(other))
        yield read(model.lm, [one[:size]], [size])[0].float().numpy()
        yield read(model.lm, [one[:size], other[:size]], [size])[0].float().numpy()
        for text in (PASSAGE, *SENTENCES) if thorough else (PASSAGE,):
            ids = torch.tensor(_ids(model, text))
            logits = model.lm(ids[None])[0, :-1].float()
            yield torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none").numpy()
        for text in samples() if thorough and _of_gguf(model.lm) else ():
            ids, size = torch.tensor(model.tokenizer.encode(text).ids), min(CHUNK, model.max_tokens - 1)
            for start in range(0, len(ids) - 1, size):
                logits = model.lm(ids[None, start : start + size])[0].float()
                behind = ids[start + 1 : start + size + 1]
                yield torch.nn.functional.cross_entropy(logits[: len(behind)], behind, reduction="none").numpy()

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        """A mean over all tokens; logits may differ in a batch by as much as vectors may, of their largest."""
        before, after = (float(np.concatenate(one[2:]).mean()) for one in (reference, found))
        alone, together, *_ = found
        largest = max(float(np.abs(alone).max()), 1e-30)
        return gates.perplexity(before, after) & gates.company(alone / largest, together / largest)


def _of_gguf(lm: LanguageModel) -> bool:
    """Whether it is multiplied in a GGUF file's blocks; those of a bfloat16 model are compared with fp32, which has none."""
    return any(isinstance(one, BlockLinear) and one.matrix.planes != block_matrix.BF16 for one in lm.modules())


def samples() -> list[str]:
    """The sample documents of prose, some 5,000 tokens."""
    paths = [path for path in sorted((assets_dir() / "sample").iterdir()) if path.suffix in (".md", ".txt")]
    return [path.read_text(encoding="utf-8") for path in paths]


@torch.inference_mode()
def read(lm: LanguageModel, rows: list[list[int]], counts: list[int]) -> Tensor:
    """Rows of equal length through KV blocks, in passes of so many tokens of each -> (B, V) logits behind their last ones."""
    pool = KVPool(lm.config, len(rows) * (1 + len(rows[0]) // SIZE), str(lm.device), lm.dtype)
    tables = [BlockTable(len(row)) for row in rows]
    logits = torch.empty(0)
    for count in counts:
        at = tables[0].length
        for table in tables:
            pool.extend(table, count)
        attending = PagedAttention(pool, [PagedSequence(table, count) for table in tables])
        ids = torch.tensor([token for row in rows for token in row[at : at + count]])
        places = torch.arange(at, at + count).repeat(len(rows))
        _, logits = lm.read(ids[None], attending, places, count * torch.arange(1, len(rows) + 1) - 1)
        for table in tables:
            table.length += count
    return logits


def _ids(model: TextModel, text: str) -> list[int]:
    return model.encode(text)[: model.max_tokens]
