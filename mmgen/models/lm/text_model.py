"""A language model's folder as it is used: the network with its tokenizer, chat template and what its makers recommend."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import block_weights, gguf_checkpoint, quantized
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.language_model import ROUNDED, LanguageModel, dtype_of, load
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.quantization.int8 import quantize
from mmgen.value_checks import tokens

log = logging.getLogger(__name__)
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty")
"""What a generation_config.json may recommend, where it samples at all."""
BEAMS = {"num_beams": "beams", "length_penalty": "length_penalty", "early_stopping": "early_stopping"}
"""And where it searches with beams: the library's words, and ours."""
RULES = (
    "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens", "exponential_decay_length_penalty",
    "encoder_repetition_penalty",
)  # fmt: skip
"""What it demands of every text; see transformers_backend/generation_rules.py."""
TOKENS = ("forced_bos_token_id", "forced_eos_token_id")
"""Of these, rules whose value is a token, of which 0 is one like any other."""
NEUTRAL: tuple[Any, ...] = (None, 0, 1, [], {})
"""Values that ask for nothing."""
UNKEPT = (
    "penalty_alpha", "num_beam_groups", "diversity_penalty", "constraints", "force_words_ids", "epsilon_cutoff", "eta_cutoff",
    "top_h", "guidance_scale", "watermarking_config", "dola_layers", "prompt_lookup_num_tokens", "stop_strings", "max_time",
)  # fmt: skip
"""What no text is kept to."""


class TextModel:
    """A folder as it is used: weights, tokenizer, chat template and special tokens of the checkpoint."""

    def __init__(
        self,
        lm: LanguageModel,
        tokenizer: Tokenizer,
        settings: Mapping[str, Any],
        name: str = "",
        template: ChatTemplate | None = None,
    ) -> None:
        """`settings`: bos_token_id, eos_token_id, decoder_start_token_id, as config.json has them, and how its makers would
        have texts written, as in generation_config.json; none is needed."""
        self.lm, self.tokenizer, self.name = lm.eval(), tokenizer, name
        self.max_tokens = lm.config.max_tokens
        self.bos_id: int | None = settings.get("bos_token_id")
        self.start_id: int | None = settings.get("decoder_start_token_id", self.bos_id)  # what a decoder begins with
        self.eos_ids = _ids(settings.get("eos_token_id"))
        self.sampling, self.rules = recommended(settings), demanded(settings)
        self.template = template or ChatTemplate("", {})
        self.device = lm.device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> TextModel:
        """The registry's loader. `precision`: fp32, bf16, fp16, int8 or int4; "": on a CPU fp32 or as it was rounded,
        elsewhere as it is saved; exact: the same, whatever `mmgen tune` found; a8: a GGUF file's blocks, and inputs rounded
        to int8 as llama.cpp does."""
        rounds_inputs = precision == "a8"
        precision = "" if precision in ("a8", "exact") else precision
        if device == "cpu":
            precision = precision or quantized.precision_of(folder)
        lm = load(folder, device, dtype_of(precision, device), packed=device == "cpu" and not precision)
        if rounds_inputs:
            block_weights.round_inputs(lm, str(folder))
        if precision in ROUNDED:
            quantize(lm, precision)
        return cls.around(lm, folder, name)

    @classmethod
    def around(cls, lm: LanguageModel, folder: Path, name: str = "") -> TextModel:
        """A network with all else that its folder holds. What its texts are not kept to is logged."""
        settings, name = _settings(folder), name or folder.name
        if left := unkept(settings):
            log.warning("%s: generation_config.json asks for %s, which its texts are not kept to", name, ", ".join(left))
        return cls(lm, Tokenizer.of(folder), settings, name, ChatTemplate.of(folder))

    def pack(self) -> None:
        """Weights as the processor's kernels read them; the model runs and does nothing else from then on."""
        self.lm.pack()

    def encode(self, text: str) -> list[int]:
        """A prompt's ids, with the special tokens that the checkpoint puts around a text."""
        return self.tokenizer.prompt(text)

    def check_length(self, *texts: str) -> None:
        """Raises TooLong for a text that is surely more than the model reads, at a cost that does not grow with its length."""
        for text in texts:
            tokens(text, "a text", self.max_tokens, lambda piece: len(self.tokenizer.encode(piece).ids))

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Ids of a conversation up to where the model answers."""
        return self.chat_prompt(messages, tools)[1]

    def chat_prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] = {},
        continue_final_message: bool = False,
        parse_special: bool = False,
    ) -> tuple[str, list[int]]:
        """A conversation up to where the model answers, and its ids.

        Control tokens are the template's alone: letters in a message that look like one are encoded as letters, unless
        `parse_special`. Other arguments as of `ChatTemplate.render`.
        """
        quotes: dict[str, str] = {} if parse_special else self._quotes([*messages, *(tools or ())])
        if quotes:
            messages, tools = _replaced(messages, quotes), _replaced(tools, quotes)
        text = self.render_chat(messages, tools=tools, variables=variables, continue_final_message=continue_final_message)
        if not quotes:
            return text, self.tokenizer.encode(text).ids
        marks = {mark: letters for letters, mark in quotes.items()}
        return _replaced(text, marks), self.tokenizer.encode_quoting(text, marks)

    def _quotes(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Control tokens whose letters occur in messages, and a mark that stands for each while a template renders them."""
        said = json.dumps(messages, ensure_ascii=False, default=str)
        letters = sorted((token for token in self.tokenizer.control if token in said), key=len, reverse=True)
        return {token: f"{MARK}{number}{MARK}" for number, token in enumerate(letters)}

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] = {},
        continue_final_message: bool = False,
    ) -> str:
        """The conversation in the words of the checkpoint's own template. Raises BadRequest where it has none or refuses."""
        if not self.template:
            raise BadRequest(f"{self.name} has no chat template; use it for completion, or give a model made for chats")
        return self.template.render(messages, add_generation_prompt, tools, variables, continue_final_message)


def recommended(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a checkpoint's makers would have texts written, by the fields of `TextParams`: drawn, or searched with beams."""
    told = {key: settings[key] for key in SAMPLING if settings.get(key) is not None}
    if settings.get("do_sample"):
        return told
    kept = {key: told[key] for key in ("repetition_penalty",) if told.get(key, 1.0) != 1.0}
    if (settings.get("num_beams") or 1) == 1:
        return kept
    beams = {ours: settings[theirs] for theirs, ours in BEAMS.items() if settings.get(theirs) is not None}
    return {**kept, "strategy": "beam", **beams, "early_stopping": beams.get("early_stopping") is True}


def demanded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `RULES` that ask for something."""
    return {name: settings[name] for name in RULES if settings.get(name) not in (NEUTRAL[:1] if name in TOKENS else NEUTRAL)}


def unkept(settings: Mapping[str, Any]) -> list[str]:
    """Entries of generation_config.json that ask for something which is not done."""
    found = [name for name in UNKEPT if settings.get(name) not in NEUTRAL]
    beams = (settings.get("num_beams") or 1) > 1
    if beams and settings.get("do_sample"):
        found.append("num_beams with do_sample")
    if beams and settings.get("early_stopping") == "never":
        found.append("early_stopping 'never'")
    return found


MARK = "\ue001"
"""A character without a meaning, for marks."""


def _replaced(value: Any, words: Mapping[str, str]) -> Any:
    """Messages, or whatever of JSON, with words replaced in all texts."""
    if isinstance(value, str):
        for old, new in words.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(one, words) for key, one in value.items()}
    return [_replaced(one, words) for one in value] if isinstance(value, list | tuple) else value


def _settings(folder: Path) -> dict[str, Any]:
    """config.json with generation_config.json laid over it; ends of text of both."""
    base = gguf_checkpoint.config_values(folder)
    base = {**(base.get("text_config") or {}), **base}
    path = folder / "generation_config.json"
    if path.is_file():  # older files have rules in config.json, and then in both
        base = {key: value for key, value in base.items() if key not in RULES}
    over = {key: value for key, value in (read_json(path) if path.is_file() else {}).items() if value is not None}
    ends = _ids(base.get("eos_token_id")) | _ids(over.get("eos_token_id"))
    return {**base, **over, "eos_token_id": sorted(ends)}


def _ids(value: Any) -> frozenset[int]:
    return frozenset() if value is None else frozenset([value] if isinstance(value, int) else value)
