"""GGUF files of architectures that our own layers lack: transformers reads and dequantizes them, and its layers run them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_checkpoint, gguf_config, gguf_tokenizer, pretrained
from mmgen.models.checkpoints.gguf_reader import GGUFFile
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.language_model import ROUNDED, LanguageModel, dtype_of
from mmgen.models.lm.text_model import TextModel
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.paged import PagedUpstream, UnpagedError
from mmgen.models.transformers_backend.self_check import checked
from mmgen.registry import one_line

log = logging.getLogger(__name__)


def foreign(path: Path) -> GGUFFile | None:
    """The GGUF file where its architecture is none of ours; None: it is, or this is no GGUF file."""
    file = gguf_checkpoint.find(path)
    return None if file is None or file.architecture in gguf_config.ARCHITECTURES else file


def load(file: GGUFFile, device: str, name: str = "", precision: str = "") -> TextModel:
    """Raises BadWeights for an architecture that transformers does not read from GGUF either."""
    path, name = file.path, name or file.path.name
    log.warning("%s is of the architecture %s: transformers dequantizes it, so that it takes the room of plain weights",
                name, file.architecture)  # fmt: skip
    model = _upstream(file, device, precision)
    text = model.config.get_text_config(decoder=True)
    made: Any
    try:
        made = checked(model, int(text.vocab_size), int(file.need("context_length")))
    except UnpagedError as why:
        log.warning("%s does not run on the shared KV cache, but with a cache of its own: %s", name, why)
        with pretrained.quiet():
            made = OwnCacheLM(model)
    if precision in ROUNDED:
        made.quantize(precision)
    assert isinstance(made, PagedUpstream | OwnCacheLM)
    ids = {key: file.metadata.get(f"tokenizer.ggml.{key}") for key in ("bos_token_id", "padding_token_id")}
    settings = {**ids, "eos_token_id": gguf_tokenizer.end_ids(file)}
    return TextModel(cast(LanguageModel, made), Tokenizer.of(path), settings, name, ChatTemplate.of(path))


def _upstream(file: GGUFFile, device: str, precision: str) -> Any:
    from transformers import AutoModelForCausalLM

    path = file.path
    try:
        with pretrained.quiet():
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=dtype_of(precision, device) or "auto"
            )
    except Exception as why:  # whatever its readers raise
        known = ", ".join(gguf_config.ARCHITECTURES)
        told = f"{path} is of general.architecture {file.architecture!r}, which neither mmgen ({known}) nor transformers reads"
        raise BadWeights(f"{told} ({one_line(why)[:160]}); take the model's safetensors") from None
    return model.to(device).eval()
