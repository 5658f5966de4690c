"""Tokenizers of checkpoints without tokenizer.json: sentencepiece, tiktoken and tekken files, converted by transformers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmgen.models.checkpoints import translation_tokenizer

TEKKEN = "tekken.json"
"""Mistral's vocabulary of bytes; its other one is sentencepiece's tokenizer.model, of some version: tokenizer.model.v3."""


def converted(folder: Path) -> Any:
    """A `tokenizers.Tokenizer` with the ids of the checkpoint's own. Raises whatever the libraries raise for damaged files."""
    from transformers import AutoTokenizer

    with _quiet():
        if (folder / TEKKEN).is_file():
            return _beginning(_tekken(folder / TEKKEN))
        if (file := translation_tokenizer.find(folder)) is not None:
            return translation_tokenizer.converted(file)
        pieces = _pieces(folder)
        if pieces is not None and (pieces.name != "tokenizer.model" or not (folder / "tokenizer_config.json").is_file()):
            return _beginning(_sentencepiece(pieces))
        return AutoTokenizer.from_pretrained(folder).backend_tokenizer


def _pieces(folder: Path) -> Path | None:
    """A file of sentencepiece's BPE, as Llama and Mistral have it. Other kinds need a configuration that tells of them."""
    found = sorted(path for path in folder.glob("tokenizer.model*") if not path.name.endswith((".json", ".txt")))
    if not found:
        return None
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as protocol

    model = protocol.ModelProto()
    try:
        model.ParseFromString(found[0].read_bytes())
        sentencepiece.SentencePieceProcessor(model_file=str(found[0]))
    except Exception:  # of tiktoken's kind, or damaged
        return None
    return found[0] if model.trainer_spec.model_type == protocol.TrainerSpec.BPE else None


def _sentencepiece(path: Path) -> Any:
    """With a space before the text, even where it begins with one: as sentencepiece and the tokenizer.json of Llama 2 do."""
    from tokenizers import normalizers
    from transformers import LlamaTokenizer

    with TemporaryDirectory(prefix="mmgen-") as folder:
        (Path(folder) / "tokenizer.model").symlink_to(path.resolve())
        fast = LlamaTokenizer.from_pretrained(folder).backend_tokenizer
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.pre_tokenizer = None
    return fast


def _tekken(path: Path) -> Any:
    from transformers.integrations.mistral.tokenizer import MistralConverter

    return MistralConverter(str(path)).converted()


def _beginning(fast: Any) -> Any:
    """A prompt begins with <s>, as Mistral's and Llama's own programs have it."""
    from tokenizers import processors

    number = fast.token_to_id("<s>")
    if number is not None:
        fast.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", number)])
    return fast


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' reports on what it tries."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
