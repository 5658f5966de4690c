"""Tiny sentence-transformers folders, written by the packages themselves."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as parts
from tokenizers import Tokenizer, processors
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = ["red", "green", "lamp", "sea"]
TEXTS = ["red lamp", "green", "lamp lamp red sea sea", "sea " * 30]
SHAPE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def tokenizer(cls: str = "[CLS]", sep: str = "[SEP]", pad: str = "[PAD]") -> PreTrainedTokenizerFast:
    special = [pad, cls, sep, "[UNK]", "[MASK]"]
    fast = Tokenizer(WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    fast.pre_tokenizer = Whitespace()
    fast.post_processor = processors.TemplateProcessing(single=f"{cls} $A {sep}", special_tokens=[(cls, 1), (sep, 2)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="[UNK]", pad_token=pad, cls_token=cls, sep_token=sep)


def save(
    folder: Path,
    model: torch.nn.Module | None = None,
    words: PreTrainedTokenizerFast | None = None,
    pooling: str = "mean",
    more: list[Any] | None = None,
    most: int = 12,
    **bert: Any,
) -> SentenceTransformer:
    """Saves a BERT of random weights, or another model, with its pooling and more modules; gives back what reads it."""
    torch.manual_seed(0)
    if model is None:
        model = BertModel(BertConfig(vocab_size=9, max_position_embeddings=40, **SHAPE, **bert), add_pooling_layer=False)
    model.save_pretrained(folder / "raw")  # type: ignore[operator]
    (words or tokenizer()).save_pretrained(folder / "raw")
    first = parts.Transformer(str(folder / "raw"), max_seq_length=most)
    whole = SentenceTransformer(modules=[first, parts.Pooling(16, pooling_mode=pooling), *(more or [])], device="cpu")
    whole.save(str(folder / "whole"))
    return whole
