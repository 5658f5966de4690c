"""Language models: a transformer and its head, and the folder it came from. Ids in, logits out; knows no decoding loop."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import block_weights, gguf_checkpoint, gguf_tensor_names, quantized
from mmgen.models.checkpoints.convert import Checkpoint, Names, TensorName, drawn, pour
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu import onednn
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers.attention import AttentionBackend, EncoderMemory
from mmgen.models.layers.feed_forward import ACTIVATIONS
from mmgen.models.layers.norms import norm
from mmgen.models.lm import families, fused_decoder
from mmgen.models.lm.architectures.text_parts import TextTensors
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization.int8 import quantize
from mmgen.models.transformer_config import TransformerConfig

ROUNDED = ("int8", "int4")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, **dict.fromkeys(ROUNDED, torch.float32)}


def dtype_of(precision: str, device: str) -> torch.dtype | None:
    """Of a model's numbers; None: as they are saved. Raises BadRequest for a precision that there is not."""
    if precision not in ("", *PRECISIONS):
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(PRECISIONS)} or a8 after the #")
    if precision:
        return PRECISIONS[precision]
    return torch.float32 if device == "cpu" else None


class Transform(nn.Module):
    """What BERT's masked language model has between its states and its head."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.linear, self.activation = Linear(config.hidden_size, config.hidden_size), ACTIVATIONS[config.activation]()
        self.norm = norm(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.activation(self.linear(x)))  # type: ignore[no-any-return]


class LanguageModel(nn.Module):
    """A transformer whose states become logits over its vocabulary: causal, masked, or behind an encoder."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.encoder = None if config.encoder is None else Transformer(config.encoder)
        self.transform = Transform(config) if config.head_transform else None
        self.head = Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)
        words = self.transformer.embed.words
        if config.tied:
            self.head.weight = words.weight
        if self.encoder is not None:
            self.encoder.embed.words = words

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    @property
    def kv_bytes_per_token(self) -> int:
        """Of keys and values in all layers."""
        return sum(layer.size for layer in self.config.kv_layers) * self.dtype.itemsize

    @property
    def dtype(self) -> torch.dtype:
        """Of word vectors, states, keys and values."""
        return self.transformer.embed.words.weight.dtype

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> EncoderMemory:
        """What the decoder reads: (B, M) ids, and bool (B, M), True where there is a token -> its memory."""
        assert self.encoder is not None, "only an encoder-decoder encodes"
        seen = None if mask is None else mask[:, None, None, :]
        return EncoderMemory(self.encoder(ids, seen), seen)

    def hidden(self, ids: Tensor, mask: Any = None, **more: Any) -> Tensor:
        """(B, N) ids -> (B, N, D); arguments as of `Transformer.forward`."""
        return self.transformer(ids, mask, **more)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V), of any part of what `hidden` gave."""
        if self.transform is not None:
            hidden = self.transform(hidden)
        if self.config.head_scale != 1:
            hidden = hidden * self.config.head_scale
        logits: Tensor = self.head(hidden)
        cap = self.config.head_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def read(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, wanted: Tensor, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """A row of many texts, see `PagedModel`: states (N, D), and logits (W, V) of the wanted places."""
        states = self.hidden(ids, attending, positions=positions, **more)[0]
        return states, self.logits(states[wanted])

    def forward(self, ids: Tensor, mask: Any = None, **more: Any) -> Tensor:
        """(B, N) ids -> (B, N, V)"""
        return self.logits(self.hidden(ids, mask, **more))

    def pack(self) -> None:
        """Lays weights out as the CPU's kernels read them, in place; from then on the model is for inference only."""
        onednn.pack(self)
        fused_decoder.install(self.transformer)

    def names(self) -> Names:
        """Our own names, of models that were trained here."""
        tied = {"head.weight"} if self.config.tied else set()
        if self.encoder is not None:
            tied.add("encoder.embed.words.weight")
        return {name: TensorName((name,)) for name in self.state_dict() if name not in tied}


def load(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None, packed: bool = False) -> LanguageModel:
    """From config.json and safetensors of a known family, or of one trained here, or from a GGUF file.

    `dtype`: None as they are saved. `packed`: a GGUF file's matrices stay in their blocks, and integers of other
    programs come into such, on a CPU and for inference only.

    Raises BadWeights where a file is missing, damaged, or does not fit the other.
    """
    values = gguf_checkpoint.config_values(folder)
    checkpoint = gguf_checkpoint.checkpoint(folder) or quantized.checkpoint(folder, values)
    if values.get("model_type") == OWN:
        model = _empty(_own_shape(values, folder), device, dtype or checkpoint.dtype)
        pour(checkpoint, model, model.names(), r"^$")
        return model
    config, family = families.shape(folder), families.find(values, checkpoint.folder)
    if family.part:
        checkpoint = TextTensors(checkpoint)
    head = family.table(replace(config, tied=False))["head.weight"].names[0]
    if family.part and head not in checkpoint:  # whose configuration says it of the text, of the whole, or of neither
        config = replace(config, tied=True)
    if config.tied and _apart(checkpoint, head, family.table(config)["transformer.embed.words.weight"].names[0]):
        config = replace(config, tied=False)
    model = _empty(config, device, dtype or checkpoint.dtype)
    blocks = checkpoint if packed and isinstance(checkpoint, block_weights.Packed) and not model.encoder else None
    taken = None if blocks is None else block_weights.taker(blocks, model)
    table = family.table(config)
    if isinstance(checkpoint, gguf_checkpoint.GGUFCheckpoint):
        table = gguf_tensor_names.apart(table)
    pour(checkpoint, model, table, f"{family.ignored}|^{re.escape(head)}$", family.prefix, taken)
    if config.tied:
        block_weights.tie(model, model.transformer.embed.words, "head")
    if isinstance(checkpoint, gguf_checkpoint.GGUFCheckpoint):
        checkpoint.file.release()
    return model


OWN = "mmgen"


def save(model: LanguageModel, folder: Path, family: str = "", values: Mapping[str, Any] = {}) -> None:
    """Writes config.json and model.safetensors, in our own names and spelling or, for transformers, in those of a `family`.

    `values`: what config.json says beside the shape, such as eos_token_id. Raises BadRequest for a shape the family has not.
    """
    from safetensors.torch import save_file

    if family:
        kind = families.find({"model_type": family}, folder)
        names, told = kind.table(model.config), {"model_type": family, **kind.values(model.config)}
        if wrong := kind.shape(told).differs(model.config):
            raise BadRequest(f"a {family} checkpoint cannot say this shape's {', '.join(wrong)}; save it in another family")
    else:
        names, told = model.names(), {"model_type": OWN, "transformer": asdict(model.config)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(drawn(model, names), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**told, **values}, indent=2) + "\n", encoding="utf-8")


def _apart(checkpoint: Checkpoint, head: str, words: str) -> bool:
    """Whether a file holds a head of its own although config.json calls it tied."""
    return head in checkpoint and words in checkpoint and not torch.equal(checkpoint[head], checkpoint[words])


def _own_shape(values: Mapping[str, Any], folder: Path) -> TransformerConfig:
    from mmgen.errors import ConfigError
    from mmgen.models import transformer_config

    try:
        return transformer_config.load(values["transformer"])
    except (KeyError, TypeError, ConfigError) as why:
        raise BadWeights(f"{folder / 'config.json'} is no configuration of a language model ({why})") from None


def _empty(config: TransformerConfig, device: str, dtype: torch.dtype) -> LanguageModel:
    with without_init(dtype), torch.device(device):
        return LanguageModel(config).to(dtype).eval()


SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty")
"""What a generation_config.json may recommend, where it samples at all."""


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
        sample, as in generation_config.json; none is needed."""
        self.lm, self.tokenizer, self.name = lm.eval(), tokenizer, name
        self.max_tokens = lm.config.max_tokens
        self.bos_id: int | None = settings.get("bos_token_id")
        self.start_id: int | None = settings.get("decoder_start_token_id", self.bos_id)  # what a decoder begins with
        self.eos_ids = _ids(settings.get("eos_token_id"))
        self.sampling = {key: settings[key] for key in SAMPLING if settings.get("do_sample") and settings.get(key) is not None}
        self.template = template or ChatTemplate("", {})
        self.device = lm.device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> TextModel:
        """The registry's loader. `precision`: fp32, bf16, fp16, int8 or int4; "": on a CPU fp32 or as it was rounded,
        elsewhere as it is saved; a8: a GGUF file's blocks, and inputs rounded to int8 as llama.cpp does."""
        rounds_inputs = precision == "a8"
        precision = "" if rounds_inputs else precision
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
        """A network with all else that its folder holds."""
        return cls(lm, Tokenizer.of(folder), _settings(folder), name or folder.name, ChatTemplate.of(folder))

    def pack(self) -> None:
        """Weights as the processor's kernels read them; the model runs and does nothing else from then on."""
        self.lm.pack()

    def encode(self, text: str) -> list[int]:
        """A prompt's ids, with the special tokens that the checkpoint puts around a text."""
        return self.tokenizer.prompt(text)

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
    over = {key: value for key, value in (read_json(path) if path.is_file() else {}).items() if value is not None}
    ends = _ids(base.get("eos_token_id")) | _ids(over.get("eos_token_id"))
    return {**base, **over, "eos_token_id": sorted(ends)}


def _ids(value: Any) -> frozenset[int]:
    return frozenset() if value is None else frozenset([value] if isinstance(value, int) else value)
