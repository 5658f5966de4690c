"""Tiny cross-encoders of random weights, written by transformers."""

from pathlib import Path
from typing import Any

import torch
from tiny_sentences import SHAPE, WORDS
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertTokenizer,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


def save(folder: Path, kind: str = "bert", labels: int = 1, most: int = 20, **config: Any) -> Path:
    """A classifier of pairs; its words are those of tiny_sentences."""
    torch.manual_seed(0)
    vocabulary = [*SPECIAL, *WORDS]
    shape = {"vocab_size": len(vocabulary), "max_position_embeddings": 40, "num_labels": labels, "pad_token_id": 0}
    made = AutoConfig.for_model(kind, **{**SHAPE, **shape, "initializer_range": 0.5, **config})
    AutoModelForSequenceClassification.from_config(made).save_pretrained(folder)
    words = {word: number for number, word in enumerate(vocabulary)}
    BertTokenizer(vocab=words, model_max_length=most).save_pretrained(folder)
    return folder


def save_decoder(folder: Path, words: PreTrainedTokenizerFast) -> Path:
    """A causal model that can be asked for yes and no."""
    torch.manual_seed(0)
    shape = {"vocab_size": len(words), "max_position_embeddings": 400, "num_key_value_heads": 1, "head_dim": 8}
    made = AutoConfig.for_model("qwen3", **SHAPE, **shape, initializer_range=0.5, bos_token_id=None, eos_token_id=None)
    AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
