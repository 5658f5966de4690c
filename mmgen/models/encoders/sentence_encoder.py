"""Sentence encoder: a transformer, its tokenizer and a pooling. Texts in, unit vectors out; knows no queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, pour
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.checkpoints.tensor_names import bert_encoder
from mmgen.models.cpu.bf16 import bf16_products
from mmgen.models.encoders import bert_config, kinds, known_scripts, sentence_transformers
from mmgen.models.encoders.prompts import Prompts, Side
from mmgen.models.encoders.prompts import read as read_prompts
from mmgen.models.encoders.sentence_transformers import SentenceTransformerEncoder
from mmgen.models.layers.attention import VarlenAttention
from mmgen.models.lm import fused_encoder
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization.int8 import quantize

NO_PROMPTS = Prompts()
BEYOND = r"^(?!(bert\.)?(embeddings|encoder)\.)|\.position_ids$"
"""Tensors of a BERT that are no sentence encoder's: those of its pooler and its heads."""


class SentenceEncoder:
    """A sentence-transformers folder of the BERT family on our own transformer: mean or [CLS] pooling, unit length.

    Rows go through a pass unpadded, side by side, and each gets the same vector alone and in any batch.
    """

    pads = False

    def __init__(
        self,
        transformer: Transformer,
        tokenizer: Tokenizer,
        max_tokens: int,
        pooling: str = "mean",
        name: str = "",
        prompts: Prompts = NO_PROMPTS,
        truncate_dim: int | None = None,
    ) -> None:
        self.transformer = transformer.eval()
        self.config = transformer.config
        self.tokenizer = tokenizer
        self.max_tokens, self.pooling, self.name = max_tokens, pooling, name
        self.prompts = prompts
        self.dimension = min(truncate_dim or transformer.config.hidden_size, transformer.config.hidden_size)
        self.cls, self.sep = tokenizer.ends()

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "") -> SentenceEncoder:
        """From a folder with config.json, model.safetensors, tokenizer.json and the sentence-transformers files.

        Raises BadWeights where a file is missing or damaged, or asks for what our own transformer does not do.
        """
        settings = bert_config.settings(folder)
        if settings.beyond:
            raise BadWeights(f"{folder} needs {settings.beyond}; load it through the sentence-transformers package")
        with without_init():
            transformer = Transformer(settings.config).to(device)
        pour(Checkpoint(folder), transformer, bert_encoder(settings.config), BEYOND, "bert.")
        tokenizer = Tokenizer(folder / "tokenizer.json")
        name, told = name or folder.name, read_prompts(folder)
        return cls(transformer, tokenizer, settings.max_tokens, settings.pooling, name, told, settings.truncate_dim)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self.tokenizer.encode(text).spans

    def knows(self, text: str) -> bool:
        """Whether its vocabulary has the text's script."""
        return known_scripts.knows(self.tokenizer.fast, text)

    def tokenize(self, texts: Sequence[str], prompt: str = "", side: Side = "") -> list[list[int]]:
        """Token ids with [CLS] and [SEP], cut at `max_tokens`. `prompt` is written before every text."""
        most = self.max_tokens - 2
        encoded = self.tokenizer.encode_many([prompt + text for text in texts] if prompt else texts)
        return [[self.cls, *tokens.ids[:most], self.sep] for tokens in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids)

    @torch.inference_mode()
    def states(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """One forward pass over rows of token ids -> last hidden states (B, N, D), zero behind a row's end; lengths (B,)."""
        sizes = [len(row) for row in rows]
        return pad_sequence(self._states(rows).split(sizes), batch_first=True), torch.tensor(
            sizes, device=self.transformer.device
        )

    def _states(self, rows: Sequence[Sequence[int]], wanted: Tensor | None = None) -> Tensor:
        """(sum of sizes, D), or (W, D) of wanted places."""
        device, sizes = self.transformer.device, [len(row) for row in rows]
        ids = torch.tensor([number for row in rows for number in row], device=device)
        positions = torch.cat([torch.arange(size, device=device) for size in sizes])
        return self.transformer(ids[None], VarlenAttention.of(sizes), positions=positions, wanted=wanted)[0]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        """What `states` gave -> (B, D), unit length; of a model with `truncate_dim` the first dimensions alone."""
        return F.normalize(self._pool(states, lengths)[:, : self.dimension], dim=-1)

    @torch.inference_mode()
    def embed_tokens(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """One forward pass over rows of token ids -> (B, D), unit length."""
        if self.pooling != "cls":
            return self.pool(*self.states(rows))
        first = torch.tensor([0, *(len(row) for row in rows[:-1])], device=self.transformer.device).cumsum(0)
        return F.normalize(self._states(rows, first)[:, : self.dimension], dim=-1)

    def _pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        return states.sum(1) / lengths[:, None]

    def embed_rows(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """`embed_tokens` as float32 on the CPU: a row runner's pass."""
        vectors: np.ndarray = self.embed_tokens(rows).float().cpu().numpy()
        return vectors

    def embed_text(self, texts: Sequence[str], budget: int = 768) -> np.ndarray:
        """(B, D) float32, in the texts' order; passes of about `budget` tokens, rows of like length together."""
        rows = self.tokenize(texts)
        out = np.empty((len(rows), self.dimension), dtype=np.float32)
        part: list[int] = []
        for n in sorted(range(len(rows)), key=lambda n: len(rows[n])):
            part.append(n)
            if sum(len(rows[i]) for i in part) >= budget:
                out[part] = self.embed_rows([rows[i] for i in part])
                part = []
        if part:
            out[part] = self.embed_rows([rows[i] for i in part])
        return out


def load(
    folder: Path, device: str = "cpu", name: str = "", precision: str = ""
) -> SentenceEncoder | SentenceTransformerEncoder:
    """The registry's loader for BERT-family folders; `precision` "bf16" or "int8" rounds the factors of its linear layers.

    What our own transformer does not do is left to the sentence-transformers package.
    """
    if precision not in ("", "fp32", "bf16", "int8"):
        raise BadRequest(f"precision {precision!r} is unknown; write fp32, bf16 or int8 after the #")
    kinds.check(folder)
    if bert_config.settings(folder).beyond:
        return sentence_transformers.load(folder, device, name, precision)
    encoder = SentenceEncoder.load(folder, device, name)
    if precision == "int8":
        quantize(encoder.transformer)
    elif precision == "bf16":
        bf16_products(encoder.transformer)
    if precision in ("bf16", "int8"):
        fused_encoder.install(encoder.transformer, encoder.config)
    return encoder
