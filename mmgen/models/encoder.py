"""Sentence encoder: a transformer, its tokenizer and a pooling. Texts in, unit vectors out; knows no queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models import weights
from mmgen.models.attention import padding_mask
from mmgen.models.quantize import quantize
from mmgen.models.tokenizer import Tokenizer
from mmgen.models.transformer import Transformer, TransformerConfig


def bert_config(values: dict[str, Any], path: Path) -> TransformerConfig:
    """A transformers BertConfig's values as ours."""
    try:
        return TransformerConfig(
            vocabulary=values["vocab_size"],
            width=values["hidden_size"],
            layers=values["num_hidden_layers"],
            heads=values["num_attention_heads"],
            hidden=values["intermediate_size"],
            max_tokens=values["max_position_embeddings"],
            token_types=values["type_vocab_size"],
            norm_eps=values["layer_norm_eps"],
            activation={"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"}[values["hidden_act"]],  # type: ignore[arg-type]
        )
    except KeyError as missing:
        raise BadWeights(f"{path} lacks or has an unknown {missing}; it is not a BERT configuration") from None


class SentenceEncoder:
    """A sentence-transformers folder of the BERT family on our own transformer: mean or [CLS] pooling, unit length."""

    def __init__(
        self, transformer: Transformer, tokenizer: Tokenizer, max_tokens: int, pooling: str = "mean", name: str = ""
    ) -> None:
        self.transformer = transformer.eval()
        self.config = transformer.config
        self.tokenizer = tokenizer
        self.max_tokens, self.pooling, self.name = max_tokens, pooling, name
        self.dimension = transformer.config.width
        self.cls, self.sep = tokenizer.id("[CLS]"), tokenizer.id("[SEP]")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "") -> SentenceEncoder:
        """From a folder with config.json, model.safetensors, tokenizer.json and the sentence-transformers files."""
        config = bert_config(weights.read_json(folder / "config.json"), folder / "config.json")
        tensors = weights.read(folder / "model.safetensors")
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
        with torch.device("meta"):
            transformer = Transformer(config)
        transformer.to_empty(device=device)
        weights.fill(transformer, weights.imported(tensors, weights.BERT, config.layers))
        max_tokens, pooling = config.max_tokens, "mean"
        if (path := folder / "sentence_bert_config.json").is_file():
            max_tokens = min(max_tokens, weights.read_json(path).get("max_seq_length") or max_tokens)
        if (path := folder / "1_Pooling" / "config.json").is_file():
            pooling = "cls" if weights.read_json(path).get("pooling_mode_cls_token") else "mean"
        return cls(transformer, Tokenizer(folder / "tokenizer.json"), max_tokens, pooling, name or folder.name)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self.tokenizer.encode(text).spans

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with [CLS] and [SEP], cut at `max_tokens`."""
        most = self.max_tokens - 2
        return [[self.cls, *tokens.ids[:most], self.sep] for tokens in self.tokenizer.encode_many(texts)]

    @torch.inference_mode()
    def embed_tokens(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """One forward pass over rows of token ids -> (B, D), unit length."""
        device = self.transformer.embed.words.weight.device
        lengths = torch.tensor([len(row) for row in rows])
        size = int(lengths.max())
        ids = torch.zeros(len(rows), size, dtype=torch.long)
        for row, numbers in zip(ids, rows, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        lengths = lengths.to(device)
        even = bool((lengths == size).all())
        states = self.transformer(ids.to(device), None if even else padding_mask(lengths, size))
        return F.normalize(self._pool(states, lengths), dim=-1)

    def _pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        seen = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
        return (states * seen[..., None]).sum(1) / lengths[:, None]

    def embed_rows(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """`embed_tokens` as float32 on the CPU: a row runner's pass."""
        vectors: np.ndarray = self.embed_tokens(rows).float().cpu().numpy()
        return vectors

    def embed_text(self, texts: Sequence[str], budget: int = 4096) -> np.ndarray:
        """(B, D) float32. Short texts go together, `budget` padded tokens a pass; the answer is in the texts' order."""
        rows = self.tokenize(texts)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = np.empty((len(rows), self.dimension), dtype=np.float32)
        first = 0
        while first < len(order):
            last = first + 1
            while last < len(order) and len(rows[order[last]]) * (last + 1 - first) <= budget:
                last += 1
            part = order[first:last]
            out[part] = self.embed_rows([rows[i] for i in part])
            first = last
        return out


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> SentenceEncoder:
    """The registry's loader for BERT-family folders; `precision` "int8" rounds the weights of the linear layers."""
    encoder = SentenceEncoder.load(folder, device, name)
    if precision == "int8":
        quantize(encoder.transformer)
    elif precision not in ("", "fp32"):
        raise BadRequest(f"precision {precision!r} is unknown; write fp32 or int8 after the #")
    return encoder
