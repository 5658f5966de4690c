"""Any sentence-transformers folder, run by the package itself: for architectures that our own transformer does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.pretrained import quiet
from mmgen.models.cpu.batch_invariant_layers import AttentionMode, hold
from mmgen.models.encoders import kinds, known_scripts, prompts
from mmgen.models.encoders.prompts import Side

MOST_TOKENS = 1 << 17
"""Of a text, for models without a limit: static embeddings."""
UNUSED = ("pooler.",)
"""Tensors that no pooling of tokens reads: checkpoints without them are whole."""


@dataclass(frozen=True)
class TextRow:
    """A row: its text, its length in tokens, and what it is in a search."""

    text: str
    tokens: int
    prompt: str = ""
    side: Side = ""

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
        hold(self.model)
        self.tokenizer = _measuring(self.model.tokenizer, folder)
        _check_whole(self.model[0], folder)
        self.name = name or folder.name
        self.prompts = prompts.read(folder)
        self.dimension = int(self.model.get_embedding_dimension() or 0)
        self.max_tokens = int(min(self.model.max_seq_length or 512, MOST_TOKENS))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(int(start), int(end)) for start, end in self.tokenizer.encode(text, add_special_tokens=False).offsets]

    def knows(self, text: str) -> bool:
        """Whether its vocabulary has the text's script."""
        return known_scripts.knows(self.tokenizer, text)

    def tokenize(self, texts: Sequence[str], prompt: str = "", side: Side = "") -> list[TextRow]:
        """`prompt` is written before every text; models of two towers read the `side` too."""
        encoded = self.tokenizer.encode_batch([prompt + text for text in texts])
        return [
            TextRow(text, min(self.max_tokens, len(row.ids)), prompt, side) for text, row in zip(texts, encoded, strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def embed_rows(self, rows: Sequence[TextRow]) -> np.ndarray:
        """(B, D) float32, unit length: the package's `encode_query`, `encode_document` or `encode`.

        On a CPU a row's bits do not depend on others of its length; the package pads those of different ones.
        """
        out = np.empty((len(rows), self.dimension), dtype=np.float32)
        for prompt, side in dict.fromkeys((row.prompt, row.side) for row in rows):
            places = [n for n, row in enumerate(rows) if (row.prompt, row.side) == (prompt, side)]
            with AttentionMode():
                out[places] = self.model.encode(  # float32, where the checkpoint is fp16
                    [rows[n].text for n in places],
                    prompt=prompt,
                    batch_size=len(places),
                    normalize_embeddings=True,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                    **({"task": side} if side else {}),
                )
        return out


def _measuring(tokenizer: Any, folder: Path) -> Tokenizer:
    """A copy that neither cuts nor pads: the package sets its own anew for every batch, on another thread."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise BadWeights(f"{folder} has no tokenizer.json, and without one there are no offsets; save one beside the weights")
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _check_whole(first: Any, folder: Path) -> None:
    """Raises BadWeights where transformers made up tensors that the file lacks: read once more, as names and shapes alone."""
    network = getattr(first, "auto_model", None)
    place = folder / kinds.first_folder(folder)
    if network is None or not hasattr(network, "config") or (place / "adapter_config.json").is_file():
        return
    with quiet():
        _, info = type(network).from_pretrained(
            place, config=network.config, device_map="meta", output_loading_info=True, local_files_only=True
        )
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith(UNUSED)):
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise BadWeights(f"{folder} lacks {', '.join(missing[:4])}{more}; fetch the model again")


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> SentenceTransformerEncoder:
    """The registry's loader for every other sentence-transformers folder."""
    kinds.check(folder)
    if precision not in ("", "fp32"):
        raise BadRequest(f"precision {precision!r} is not available for {name}; write the reference without #{precision}")
    return SentenceTransformerEncoder(folder, device, name)
