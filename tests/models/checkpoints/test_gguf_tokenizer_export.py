"""Tokenizers in a GGUF file's metadata: read again they give the same tokens; what has no name there is refused."""

from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from gguf_models import pieces
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import gguf_tokenizer, gguf_tokenizer_export, gguf_writer
from mmgen.models.checkpoints.gguf_reader import GGUFFile

TEXTS = ("the and an order", " the", "an  other  ", "é the\n\tand")


def sentencepiece(scheme: str) -> Tokenizer:
    """Llama's kind with merges, by the scores of its words."""
    tokens, scores, _ = pieces()
    merges = gguf_tokenizer._implied_merges(tokens, scores)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    fast = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    if scheme == "gemma":
        fast.normalizer = normalizers.Replace(" ", "▁")
    else:
        fast.pre_tokenizer = pre_tokenizers.Metaspace("▁", scheme, split=False)
    fast.add_special_tokens(["<s>", "</s>"])
    return fast


def again(fast: Tokenizer, tmp_path: Path, architecture: str = "llama") -> Tokenizer:
    """Written and read."""
    import torch

    path, size = tmp_path / "x.gguf", fast.get_vocab_size()
    told = gguf_tokenizer_export.metadata(fast, size + 2, 1, {2}, "", "tiny")
    metadata = gguf_writer.entries({"general.architecture": architecture, **told})
    shapes: dict[str, Any] = {"token_embd.weight": (size + 2, 32)}
    gguf_writer.write(path, metadata, shapes, lambda name: torch.zeros(shapes[name]), "q8_0")
    return gguf_tokenizer.fast(GGUFFile(path))


@pytest.mark.parametrize("scheme", ["first", "never"])
def test_sentencepiece(scheme: str, tmp_path: Path) -> None:
    fast = sentencepiece(scheme)
    read = again(fast, tmp_path)
    for text in TEXTS:
        assert read.encode(text, add_special_tokens=False).ids == fast.encode(text, add_special_tokens=False).ids, text


def test_what_has_no_name_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(BadRequest, match="tiny is neither byte-level BPE nor sentencepiece's; convert it with"):
        gguf_tokenizer_export.metadata(words, 3, None, (), "", "tiny")
    cut = tiny_tokenizers.byte_level()
    cut.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(use_regex=False)])
    with pytest.raises(BadRequest, match="cuts texts in a way that GGUF has no name for"):
        gguf_tokenizer_export.metadata(cut, 300, None, (), "", "tiny")
