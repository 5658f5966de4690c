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
from mmgen.models.cpu import onednn
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers.attention import AttentionBackend, EncoderMemory
from mmgen.models.layers.feed_forward import ACTIVATIONS
from mmgen.models.layers.norms import norm
from mmgen.models.lm import families, fused_decoder
from mmgen.models.lm.architectures.text_parts import TextTensors
from mmgen.models.lm.paged.model import DecodedSteps, StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization import bf16_blocks
from mmgen.models.transformer_config import TransformerConfig

ROUNDED = ("int8", "int4")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, **dict.fromkeys(ROUNDED, torch.float32)}


def dtype_of(precision: str, device: str) -> torch.dtype | None:
    """Of a model's numbers; None: as they are saved. Raises BadRequest for a precision that there is not."""
    if precision not in ("", *PRECISIONS):
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(PRECISIONS)}, exact or a8 after the #")
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
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, wanted: Tensor, states: bool = True, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """A row of many texts, see `PagedModel`: states (N, D), and logits (W, V) of the wanted places."""
        if not more and (found := self.transformer.read(ids, attending, positions, wanted, states)) is not None:
            return found
        hidden = self.hidden(ids, attending, positions=positions, **more)[0]
        return hidden, self.logits(hidden[wanted])

    def decode(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, limits: StepLimits, draws: Sequence[DrawPlan]
    ) -> DecodedSteps | None:
        """Several passes in one call, see `PagedModel`: where weights are GGUF's blocks and the kernels compute them."""
        return self.transformer.decode(ids, attending, positions, limits, draws)

    def forward(self, ids: Tensor, mask: Any = None, **more: Any) -> Tensor:
        """(B, N) ids -> (B, N, V)"""
        return self.logits(self.hidden(ids, mask, **more))

    def pack(self) -> None:
        """Lays weights out as the CPU's kernels read them, in place; from then on the model is for inference only.

        A bfloat16 decoder whose blocks run in one call then has its states, keys and values in fp32.
        """
        if self.dtype is torch.bfloat16 and self.encoder is None and fused_decoder.fits(self.config):
            bf16_blocks.pack(self, self.transformer.embed.words)
        onednn.pack(self)
        fused_decoder.install(self.transformer, self)

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
