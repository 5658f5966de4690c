"""How encoders and cross-encoders choose their precision: rows of 16 to 256 tokens, judged by their vectors or their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmgen.models.encoders import bert_config, cross_encoder_config
from mmgen.models.encoders.cross_encoder import CrossEncoder
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.tuning import gates
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.texts import PASSAGE, SENTENCES
from mmgen.models.tuning.workload import Workload

LENGTHS = (16, 64, 256)
"""Tokens of the rows of one pass."""
CANDIDATES = ("fp32", "bf16", "int8")


class EncoderWorkload(Workload):
    """Sentence encoders of our own transformer."""

    kind: ClassVar = "sentence encoder"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        return CANDIDATES[:1] if bert_config.settings(folder).beyond else CANDIDATES

    def takes(self, model: Any) -> bool:
        return isinstance(model, SentenceEncoder)

    def run(self, model: SentenceEncoder) -> None:
        (row,) = model.tokenize([" ".join([PASSAGE, *SENTENCES])])
        model.embed_rows([row[: min(length, model.max_tokens)] for length in LENGTHS])

    def results(self, model: SentenceEncoder, thorough: bool) -> Iterator[np.ndarray]:
        yield model.embed_rows(model.tokenize(SENTENCES[:1]))
        yield model.embed_rows(model.tokenize(SENTENCES))
        if thorough:
            yield model.embed_rows(model.tokenize([PASSAGE, *(f"{one} {PASSAGE}" for one in SENTENCES[:3])]))

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        alone, together, *_ = found
        return gates.cosine(np.concatenate(reference), np.concatenate(found)) & gates.company(alone, together[:1])


class CrossEncoderWorkload(Workload):
    """Cross-encoders of our own transformer."""

    kind: ClassVar = "cross-encoder"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        return CANDIDATES[:1] if cross_encoder_config.beyond(folder) else CANDIDATES

    def takes(self, model: Any) -> bool:
        return isinstance(model, CrossEncoder)

    def run(self, model: CrossEncoder) -> None:
        model.score_rows(model.pairs(SENTENCES[1], [SENTENCES[0], SENTENCES[9], PASSAGE]))

    def results(self, model: CrossEncoder, thorough: bool) -> Iterator[np.ndarray]:
        yield model.score_rows(model.pairs(SENTENCES[0], SENTENCES[:1]))
        for query in SENTENCES[: 6 if thorough else 2]:
            yield model.score_rows(model.pairs(query, SENTENCES))

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        alone, together, *_ = found
        return gates.scores(np.concatenate(reference), np.concatenate(found)) & gates.company(alone, together[:1])
