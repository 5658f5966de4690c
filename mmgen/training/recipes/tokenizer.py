"""Tokenizer recipe: byte-level BPE, or characters, with the tokenizers library. Deterministic."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmgen.config import Config
from mmgen.errors import BadRequest

END = "<|endoftext|>"
"""Precedes every document, and so separates it from the previous one."""
UNKNOWN = "<unk>"
Kind = Literal["bpe", "characters"]


class TokenizerRecipe(Config):
    """The `tokenizer` section of a language model's recipe."""

    file: Path | None = None  # a ready tokenizer.json; None: trained on the run's data
    kind: Kind = "bpe"
    vocabulary: int = Field(default=8192, ge=257)  # of BPE: 256 bytes, END and merges


def train(texts: Iterable[str], kind: Kind = "bpe", vocabulary: int = 8192) -> Any:
    """A tokenizers.Tokenizer. Raises BadRequest where the texts are too few for such a vocabulary."""
    if kind == "characters":
        return _characters(texts)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator(texts, trainer)
    if fast.get_vocab_size() != vocabulary:
        raise BadRequest(f"the texts give {fast.get_vocab_size()} tokens, not {vocabulary}; give more text or ask for fewer")
    return fast


def _characters(texts: Iterable[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    known = sorted(set().union(*map(set, texts)))
    vocabulary = {token: number for number, token in enumerate((END, UNKNOWN, *known))}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    fast.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    fast.decoder = decoders.Fuse()
    fast.add_special_tokens([END, UNKNOWN])
    return fast


def append_end(fast: Any) -> Any:
    """Makes the tokenizer append END to every text, as the tokenizers of CLIP's text towers do."""
    from tokenizers.processors import TemplateProcessing

    fast.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, fast.token_to_id(END))])
    return fast


def save(fast: Any, folder: Path, max_tokens: int = 0) -> Path:
    """Writes tokenizer.json and the tokenizer_config.json that transformers reads -> tokenizer.json"""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    path.write_text(fast.to_str(pretty=True) + "\n", encoding="utf-8")
    values: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    values |= {"bos_token": END, "eos_token": END}
    if max_tokens:
        values["model_max_length"] = max_tokens
    (folder / "tokenizer_config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return path
