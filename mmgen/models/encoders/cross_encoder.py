"""Cross-encoder: reads a query and a text together and scores the text's relevance (Nogueira and Cho 2019, arXiv 1901.04085).

BERT's with one label run on our own transformer, unpadded: a pair gets the same score alone and in any batch, to
the last bits of fp32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights, ConfigError
from mmgen.models import transformer_config
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.convert import Checkpoint, TensorName, pour
from mmgen.models.checkpoints.tensor_names import BERT_WORDS, bert_encoder
from mmgen.models.cpu.batch_invariant import sigmoid
from mmgen.models.cpu.bf16 import bf16_products
from mmgen.models.cpu.linear import Linear
from mmgen.models.encoders import bert_config, cross_encoder_config, transformers_cross_encoder
from mmgen.models.encoders.cross_encoder_config import ARCHITECTURE
from mmgen.models.encoders.transformers_cross_encoder import DecoderReranker, TransformersCrossEncoder
from mmgen.models.layers.attention import VarlenAttention
from mmgen.models.layers.masks import padding_mask
from mmgen.models.lm import fused_encoder
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import Transformer, TransformerConfig
from mmgen.models.quantization.int8 import quantize

SHARED = "transformer.embed.words.weight"  # read from the base model's file; not saved with the cross-encoder
HEADS = {"pooler": "bert.pooler.dense", "classifier": "classifier"}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": sigmoid, "identity": lambda logits: logits}


@dataclass(frozen=True)
class TokenPair:
    """A query and a text as one row: [CLS] query [SEP] text [SEP]."""

    ids: tuple[int, ...]
    text_at: int  # where the second segment begins

    def __len__(self) -> int:
        return len(self.ids)


class CrossEncoderNetwork(nn.Module):
    """A transformer encoder, BERT's pooler over [CLS], and a linear layer to one logit."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.transformer = Transformer(config)
        self.pooler, self.classifier = Linear(width, width), Linear(width, 1)

    def forward(self, pairs: Sequence[TokenPair]) -> Tensor:
        """Rows side by side, unpadded -> (B,) logits."""
        device, sizes = self.transformer.device, [len(pair) for pair in pairs]
        ids = torch.tensor([number for pair in pairs for number in pair.ids], device=device)
        positions = torch.cat([torch.arange(size, device=device) for size in sizes])
        types = torch.cat([(torch.arange(len(pair), device=device) >= pair.text_at).long() for pair in pairs])
        first = torch.tensor([0, *sizes[:-1]], device=device).cumsum(0)
        attending = VarlenAttention.of(sizes)
        return self.head(self.transformer(ids[None], attending, positions=positions, types=types[None], wanted=first)[0])

    def padded(self, ids: Tensor, types: Tensor, lengths: Tensor) -> Tensor:
        """Rows (B, N) of token ids and segments, padded behind their lengths (B,) -> (B,) logits: for training."""
        return self.head(self.transformer(ids, padding_mask(lengths, ids.shape[1]), types=types)[:, 0])

    def head(self, first: Tensor) -> Tensor:
        """(B, D) states of [CLS] -> (B,)"""
        return self.classifier(torch.tanh(self.pooler(first)))[:, 0]  # type: ignore[no-any-return]


class CrossEncoder:
    """The network with its tokenizer: pairs in, relevance out."""

    pads = False

    def __init__(
        self,
        network: CrossEncoderNetwork,
        tokenizer: Tokenizer,
        max_tokens: int,
        activation: str = "sigmoid",
        name: str = "",
        base: str = "",
        share: float = 1.0,
    ) -> None:
        """`base`: reference of the encoder whose word embeddings and tokenizer it shares. `share`: how much of an order of
        passages is to be its, 0 to 1."""
        self.network, self.tokenizer, self.name, self.base = network.eval(), tokenizer, name, base
        self.max_tokens, self.activation, self.share = max_tokens, activation, share
        self.cls, self.sep = tokenizer.ends()

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "") -> CrossEncoder:
        """From a folder that `save` wrote, or one of a transformers' BertForSequenceClassification.

        Raises BadWeights for a file that is missing or damaged.
        """
        values = safetensors_io.read_json(folder / "config.json")
        if values.get("architecture") == ARCHITECTURE:
            return cls._own(folder, values, device, name)
        settings = bert_config.settings(folder)
        network = CrossEncoderNetwork(settings.config).to(device)
        names = bert_encoder(settings.config, "transformer.")
        for ours, theirs in HEADS.items():
            names |= {f"{ours}.{kind}": TensorName((f"{theirs}.{kind}",)) for kind in ("weight", "bias")}
        pour(Checkpoint(folder), network, names, r"\.position_ids$")
        activation = cross_encoder_config.activation(folder, values)
        return cls(network, Tokenizer(folder / "tokenizer.json"), settings.max_tokens, activation, name or folder.name)

    @classmethod
    def _own(cls, folder: Path, values: dict[str, Any], device: str, name: str) -> CrossEncoder:
        try:
            reference, shape = values["base"], transformer_config.load(values["transformer"])
        except (KeyError, TypeError, ConfigError) as why:
            raise BadWeights(f"{folder / 'config.json'} is no cross-encoder's configuration ({why})") from None
        base = hub.resolve(reference)
        network = CrossEncoderNetwork(shape).to(device)
        stored = safetensors_io.read(folder / "model.safetensors")
        if values.get("frozen_from"):  # layers that training left as that model has them lie there alone
            theirs = safetensors_io.read(hub.resolve(values["frozen_from"]) / "model.safetensors")
            wanted = {name for one in network.state_dict() for name in (one, f"{one}.scale")}
            stored = {name: tensor for name, tensor in theirs.items() if name in wanted} | stored
        tensors = safetensors_io.unpacked(stored)
        tensors[SHARED] = safetensors_io.read(base / "model.safetensors")[BERT_WORDS]
        safetensors_io.fill(network, tensors)
        tokenizer, share = Tokenizer(base / "tokenizer.json"), float(values.get("share", 1.0))
        return cls(network, tokenizer, shape.max_tokens, "sigmoid", name or folder.name, reference, share)

    def save(self, folder: Path, frozen_from: str = "") -> None:
        """Writes config.json and model.safetensors: matrices as int8, the base model's word embeddings left out.

        `frozen_from`: reference of a model, as int8 too, whose tensors are left out where they are the same to the bit.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor for name, tensor in self.network.state_dict().items() if name != SHARED}
        stored = safetensors_io.packed(state)
        if frozen_from:
            theirs = safetensors_io.read(hub.resolve(frozen_from) / "model.safetensors")
            stored = {name: one for name, one in stored.items() if name not in theirs or not torch.equal(one, theirs[name])}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        shape = asdict(self.network.transformer.config)
        config = {
            "architecture": ARCHITECTURE,
            "base": self.base,
            "share": self.share,
            "frozen_from": frozen_from,
            "transformer": shape,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    def pairs(self, query: str, texts: Sequence[str]) -> list[TokenPair]:
        """Tokenizes. Where a pair is too long, tokens are cut from the end of the longer of the two."""
        first, *rest = self.tokenizer.encode_many([query, *texts])
        room = self.max_tokens - 3
        out = []
        for text in rest:
            asked, read = fitted(len(first.ids), len(text.ids), room)
            front = (self.cls, *first.ids[:asked], self.sep)
            out.append(TokenPair((*front, *text.ids[:read], self.sep), len(front)))
        return out

    @torch.inference_mode()
    def score_rows(self, pairs: Sequence[TokenPair]) -> np.ndarray:
        """(B,) float32, higher is more relevant: a row runner's pass."""
        scores: np.ndarray = ACTIVATIONS[self.activation](self.network(pairs).float()).cpu().numpy()
        return scores


def fitted(query: int, text: int, room: int) -> tuple[int, int]:
    """Lengths of both so that they fit: what is too much is taken from the longer, the text where they are as long."""
    if query + text <= room:
        return query, text
    half = room // 2
    if query <= half:
        return query, room - query
    return (room - text, text) if text <= half else (room - half, half)


def load(
    folder: Path, device: str = "cpu", name: str = "", precision: str = ""
) -> CrossEncoder | TransformersCrossEncoder | DecoderReranker:
    """The registry's loader; `precision` "bf16" or "int8" rounds the factors of its linear layers.

    What our own transformer does not do is left to the sentence-transformers package.
    """
    if precision not in ("", "fp32", "bf16", "int8"):
        raise BadRequest(f"precision {precision!r} is unknown; write fp32, bf16 or int8 after the #")
    if reason := cross_encoder_config.beyond(folder):
        if precision in ("bf16", "int8"):
            told = f"{name or folder.name} has {reason}, which is not run in {precision}"
            raise BadRequest(f"{told}; write the reference without #{precision}")
        return transformers_cross_encoder.load(folder, device, name)
    model = CrossEncoder.load(folder, device, name)
    if precision == "int8":
        quantize(model.network)
    elif precision == "bf16":
        bf16_products(model.network.transformer)
    if precision in ("bf16", "int8"):
        fused_encoder.install(model.network.transformer, model.network.transformer.config)
    return model
