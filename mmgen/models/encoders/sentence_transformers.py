"""Any sentence-transformers folder, run by the package itself: for architectures that our own transformer does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights


@dataclass(frozen=True)
class TextRow:
    """A row: its text, and its length in tokens."""

    text: str
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class SentenceTransformerEncoder:
    """The same calls as `models.encoder.SentenceEncoder`."""

    pads = True

    def __init__(self, folder: Path, device: str = "cpu", name: str = "") -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self.model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as why:  # the package lets all kinds of errors out, those of the libraries below it too
            line = str(why).splitlines()[0] if str(why) else type(why).__name__
            raise BadWeights(
                f"{folder} is no sentence-transformers model ({line}); give a folder saved by that package"
            ) from None
        if not getattr(self.model.tokenizer, "is_fast", False):
            raise BadWeights(
                f"{folder} has no tokenizer.json, and without one there are no offsets; save one beside the weights"
            )
        self.name = name or folder.name
        self.dimension = int(self.model.get_embedding_dimension() or 0)
        self.max_tokens = int(self.model.max_seq_length or 512)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        encoded = self.model.tokenizer(
            text, return_offsets_mapping=True, add_special_tokens=False, truncation=False, verbose=False
        )
        return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]

    def tokenize(self, texts: Sequence[str]) -> list[TextRow]:
        ids = self.model.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"] if texts else []
        return [TextRow(text, min(self.max_tokens, len(row))) for text, row in zip(texts, ids, strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.model.tokenizer.decode(list(ids), skip_special_tokens=True))

    def embed_rows(self, rows: Sequence[TextRow]) -> np.ndarray:
        """(B, D) float32, unit length."""
        vectors: np.ndarray = self.model.encode(
            [row.text for row in rows],
            batch_size=len(rows),
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return vectors.astype(np.float32, copy=False)  # the package keeps a checkpoint's fp16


def check(folder: Path) -> None:
    """Raises BadWeights for a cross-encoder: a mean of its tokens' states is no vector of a text."""
    if hub.kind_of(folder) == "cross-encoder":
        raise BadWeights(f"{folder} is a cross-encoder, which gives no vectors; use it to order passages, by --rerank")


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> SentenceTransformerEncoder:
    """The registry's loader for every other sentence-transformers folder."""
    check(folder)
    if precision not in ("", "fp32"):
        raise BadRequest(f"precision {precision!r} is not available for {name}; write the reference without #{precision}")
    return SentenceTransformerEncoder(folder, device, name)
