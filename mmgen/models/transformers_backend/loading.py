"""Any language model's folder to a `TextModel`, by whichever road runs it: the registry's loader of text models."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm.language_model import ROUNDED, LanguageModel, dtype_of
from mmgen.models.lm.text_model import TextModel
from mmgen.models.transformers_backend import gguf, vision_language
from mmgen.models.transformers_backend.backend import is_native, unpaged, upstream_class, upstream_config, writes_text
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.paged import PagedUpstream, UnpagedError
from mmgen.models.transformers_backend.self_check import checked

log = logging.getLogger(__name__)
LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""What configurations call the number of their positions."""
UNLIMITED = 32_768
"""Tokens of a text for a model that names no number of positions."""


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> TextModel:
    """`precision` as of `TextModel.load`. A model whose results on our KV cache are not the library's is told about.

    Raises BadWeights for an architecture that neither we nor transformers have, and for files that are missing or damaged.
    """
    if (file := gguf.foreign(folder)) is not None:
        return gguf.load(file, device, name, precision)
    path = folder / "config.json"
    if not path.is_file() or is_native(read_json(path), path):
        return TextModel.load(folder, device, name, precision)
    if vision_language.sees(folder) and not writes_text(read_json(path), path):
        return vision_language.VisionLanguageModel.load(folder, device, name, precision)
    dtype = dtype_of(precision, device)
    config = upstream_config(read_json(path), str(path))
    why = unpaged(config)
    if not why:
        try:
            return TextModel.around(cast(LanguageModel, paged(folder, config, device, dtype, precision)), folder, name)
        except UnpagedError as reason:
            why = str(reason)
            log.warning("%s does not run on the shared KV cache, but with a cache of its own: %s", name or folder.name, why)
    return TextModel.around(cast(LanguageModel, own_cache(folder, config, device, dtype, precision)), folder, name)


def paged(folder: Path, config: Any, device: str, dtype: torch.dtype | None, precision: str = "") -> PagedUpstream:
    """Raises UnpagedError where the model's own cache is needed, BadWeights where files are missing or damaged."""
    from transformers import AutoModelForCausalLM

    model = pretrained.load(AutoModelForCausalLM, folder, device, dtype or "auto")
    text = config.get_text_config(decoder=True)
    made = checked(model, int(text.vocab_size), max_tokens(text))
    if precision in ROUNDED:
        made.quantize(precision)
    return made


def own_cache(folder: Path, config: Any, device: str, dtype: torch.dtype | None, precision: str = "") -> OwnCacheLM:
    """With the cache that the library makes for each text.

    Raises BadWeights for a model that reads no text, and where files are missing or damaged.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    encodes = getattr(config, "is_encoder_decoder", False)
    if not encodes and upstream_class(config) is None:
        raise BadWeights(f"{folder} is of the architecture {config.model_type}, which listens to sound; take a model of texts")
    auto = AutoModelForSeq2SeqLM if encodes else AutoModelForCausalLM
    model = pretrained.load(auto, folder, device, dtype or "auto")
    with pretrained.quiet():  # the library tells of each kernel that it would use on a GPU
        made = OwnCacheLM(model)
        if precision in ROUNDED:
            made.quantize(precision)
    return made


def max_tokens(text: Any) -> int:
    """Of a text, from its model's config."""
    return next((int(limit) for key in LIMITS if (limit := getattr(text, key, None))), UNLIMITED)
