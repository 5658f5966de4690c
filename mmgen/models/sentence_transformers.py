"""Any sentence-transformers folder, run by the package itself: for architectures that our own transformer does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.errors import BadRequest, BadWeights


@dataclass(frozen=True)
class Text:
    """A row: its text, and its length in tokens."""

    text: str
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class SentenceTransformerEncoder:
    """The same calls as `models.encoder.SentenceEncoder`."""

    def __init__(self, folder: Path, device: str = "cpu", name: str = "") -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self.model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, KeyError) as why:
            line = str(why).splitlines()[0] if str(why) else type(why).__name__
            raise BadWeights(
                f"{folder} is no sentence-transformers model ({line}); give a folder saved by that package"
            ) from None
        self.name = name or folder.name
        self.dimension = int(self.model.get_embedding_dimension() or 0)
        self.max_tokens = int(self.model.max_seq_length or 512)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        encoded = self.model.tokenizer(
            text, return_offsets_mapping=True, add_special_tokens=False, truncation=False, verbose=False
        )
        return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]

    def tokenize(self, texts: Sequence[str]) -> list[Text]:
        return [Text(text, min(self.max_tokens, len(self.token_spans(text)) + 2)) for text in texts]

    def embed_rows(self, rows: Sequence[Text]) -> np.ndarray:
        """(B, D) float32, unit length."""
        vectors: np.ndarray = self.model.encode(
            [row.text for row in rows],
            batch_size=len(rows),
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return vectors


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> SentenceTransformerEncoder:
    """The registry's loader for every other sentence-transformers folder."""
    if precision not in ("", "fp32"):
        raise BadRequest(f"precision {precision!r} is not available for {name}; write the reference without #{precision}")
    return SentenceTransformerEncoder(folder, device, name)
