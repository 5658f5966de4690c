"""All blocks of an encoder in one native call, over rows that lie side by side. For BERT's and ViT's kind of block.

Between a block's products torch starts a dozen operations, each over all rows and through memory; in `cpu/encoder.c` a tile of
rows goes through all of them while it is in the caches. Products are of bfloat16 or int8 factors, as the blocks' layers have
them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmgen.models.cpu.bf16 import Bf16Linear
from mmgen.models.cpu.gate_table import CURVES, gate_table
from mmgen.models.cpu.kernels import TILE_N, Kernels, fitting, kernels
from mmgen.models.cpu.structs import EncoderLayer, EncoderShape, PackedSequence, Product
from mmgen.models.layers.attention import PackedPass, PackingBackend
from mmgen.models.lm.paged.model import DecodedSteps, StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.lm.transformer import Block, ForwardPass, FusedBlocks
from mmgen.models.lm.watched_weights import WatchedWeights, address
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformer_config import TransformerConfig

ROWS, MOST_ROWS = 6, 96
"""Rows that are multiplied at once, and that go through a block together."""


class BlockStack(Protocol):
    """A transformer, or a vision transformer."""

    fused: FusedBlocks | None

    @property
    def blocks(self) -> nn.ModuleList: ...


def install(model: BlockStack, config: TransformerConfig) -> None:
    """Lets all blocks run as one call, whose layers became `Bf16Linear` or `Int8Linear`; without effect on another kind.

    Where the processor has AMX, oneDNN's products are faster.
    """
    made = kernels()
    if made is not None and made.encodes and not torch.cpu._is_amx_tile_supported() and fits(config):
        model.fused = FusedEncoder(config, model.blocks)


def fits(config: TransformerConfig) -> bool:
    """Whether blocks of that shape are BERT's or ViT's, in sizes that the kernel takes."""
    plain = config.norm == "layer" and config.norm_at in ("pre", "post") and not config.parallel and not config.shared_norm
    plain = plain and config.residual_multiplier == 1 and config.delta is None and not config.attention_gate
    fed = config.activation in CURVES and not config.gated and not config.experts
    seen = config.softcap is None and config.window is None and not config.sparse_block and config.encoder is None
    seen = seen and not config.sinks and not config.qk_norm and config.kv_heads == config.heads
    seen = seen and config.positions in ("none", "learned", "sinusoidal")
    sizes = (config.hidden_size, config.intermediate_size, config.heads * config.head_size)
    return plain and fed and seen and config.head_size % 32 == 0 and not any(size % TILE_N for size in sizes)


class FusedEncoder:
    """Of one stack of blocks. What it knows of them is looked up anew when they got other layers or weights."""

    def __init__(self, config: TransformerConfig, blocks: nn.ModuleList) -> None:
        self.config, self.blocks = config, blocks
        self._known = WatchedWeights()
        self._layers: Any = None  # empty: of another kind
        self._biases: list[Tensor] = []  # in fp32

    def __call__(self, transformer: nn.Module, x: Tensor, run: ForwardPass) -> Tensor | None:
        """(B, N, D) -> the same, or (1, W, D) of wanted rows, behind all blocks; None: something here is of another kind than
        it knows."""
        made = fitting(x)
        if made is None or run.rotation is not None or run.memory is not None or self.blocks.training:
            return None
        if not isinstance(run.attending, PackingBackend) or (packed := run.attending.packed(x)) is None:
            return None
        if not x.numel() or not self._looked():
            return None
        one_each = run.wanted if run.wanted is not None and _one_each(run.wanted, packed.counts) else None
        y = self._run(made, x, run.attending, packed, one_each)
        return y.flatten(0, 1)[run.wanted][None] if run.wanted is not None and one_each is None else y

    def read(self, ids: Tensor, run: ForwardPass, wanted: Tensor, states: bool = True) -> tuple[Tensor, Tensor] | None:
        """An encoder has no logits."""
        return None

    def decode(self, ids: Tensor, run: ForwardPass, limits: StepLimits, draws: Sequence[DrawPlan]) -> DecodedSteps | None:
        """An encoder decodes nothing."""
        return None

    def _run(self, made: Kernels, x: Tensor, attending: PackingBackend, packed: PackedPass, wanted: Tensor | None) -> Tensor:
        config, past, layers = self.config, packed.states, self._layers
        inner, rows, threads = config.heads * config.head_size, x.shape[0] * x.shape[1], torch.get_num_threads()
        counts = packed.counts
        states = torch.empty(config.layers if attending.keeps else 1, rows, 3 * inner, dtype=torch.bfloat16)
        for number, layer in enumerate(layers):
            layer.states = states[number if attending.keeps else 0].data_ptr()
            layer.past = 0 if past is None else past[number].data_ptr()
        sequences, first = (PackedSequence * len(counts))(), 0
        for sequence, count, (past_first, past_count) in zip(sequences, counts, packed.past, strict=True):
            sequence.first, sequence.count, sequence.past_first, sequence.past_count = first, count, past_first, past_count
            first += count
        shape = EncoderShape(
            config.layers, rows, len(counts), config.hidden_size, config.heads, config.head_size, config.intermediate_size,
            config.norm_at == "pre", config.causal or packed.causal, _tile(rows, threads),
            max(count + past_count for count, (_, past_count) in zip(counts, packed.past, strict=True)), threads,
            ctypes.addressof(gate_table(config.activation)), address(wanted), config.score_scale, config.norm_eps,
        )  # fmt: skip
        y, seen = x.contiguous().clone(), torch.empty(rows, inner)
        made.encode(layers, shape, sequences, y, seen)
        if attending.keeps:
            attending.keep(states)
        return y if wanted is None else y.flatten(0, 1)[: len(wanted)][None]

    def _looked(self) -> bool:
        """Whether all blocks are of the kind that it knows."""
        if self._layers is None or not self._known.hold():
            self._known, self._biases = WatchedWeights(), []
            looked = [self._layer(block) for block in self.blocks]  # type: ignore[arg-type]
            layers = [layer for layer in looked if layer is not None]
            self._layers = (EncoderLayer * len(layers))(*layers) if len(layers) == len(looked) else ()
        return bool(self._layers) and self._known.hold()  # not where somebody listens

    def _layer(self, block: Block) -> EncoderLayer | None:
        """None: of another kind."""
        layer = EncoderLayer()
        for name, own in (("norm", "attention_norm"), ("second_norm", "norm")):
            norm = getattr(block, own)
            if type(norm) is not nn.LayerNorm or norm.weight is None or norm.weight.dtype is not torch.float32:
                return None
            setattr(layer, name, norm.weight.data_ptr())
            setattr(layer, f"{name}_bias", address(norm.bias))
            self._known.add(block, own)
        for name, holder in (("qkv", block.attention), ("out", block.attention), ("up", block), ("down", block)):
            if (product := self._product(getattr(holder, name))) is None:
                return None
            setattr(layer, name, product)
            self._known.add(holder, name)
        return layer

    def _product(self, layer: nn.Module) -> Product | None:
        """None: the kernel does not read such a layer."""
        if type(layer) is Int8Linear and layer.kernels is not None and layer.padded == layer.in_features:
            at, scales, sums = torch.ops.mkldnn.data_ptr(layer.packed), layer.scales.data_ptr(), layer.sums.data_ptr()
            return Product(8, at, address(layer.bias), scales, sums, layer.in_features, layer.out_features, layer.padded)
        if type(layer) is Bf16Linear and layer.packed and in_panels(layer.in_features, layer.out_features):
            if layer.bias is not None:
                self._biases.append(layer.bias.float())
            at, bias = torch.ops.mkldnn.data_ptr(layer.weight), self._biases[-1].data_ptr() if layer.bias is not None else 0
            return Product(16, at, bias, 0, 0, layer.in_features, layer.out_features, layer.in_features)
        return None


def _one_each(wanted: Tensor, counts: Sequence[int]) -> bool:
    """Whether each sequence has one wanted row."""
    ends = [*accumulate(counts)]
    places = wanted.tolist()
    return len(places) == len(ends) and all(
        end - count <= at < end for at, end, count in zip(places, ends, counts, strict=True)
    )


def _tile(rows: int, threads: int) -> int:
    """Rows of a tile, so that every thread has as many tiles."""
    turns = -(-rows // (threads * MOST_ROWS))
    return ROWS * -(-rows // (threads * turns * ROWS))


@lru_cache(maxsize=64)
def in_panels(inputs: int, outputs: int) -> bool:
    """Whether oneDNN lays such a matrix out in bfloat16 as encoder.c reads it: it does not tell, so it is tried."""
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(0)).bfloat16()
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    panels = weight.view(outputs // TILE_N, TILE_N, inputs // 2, 2).transpose(1, 2).contiguous()
    size = panels.numel() * panels.itemsize
    if torch.ops.mkldnn._nbytes(packed) < size:
        return False
    return ctypes.string_at(torch.ops.mkldnn.data_ptr(packed), size) == ctypes.string_at(panels.data_ptr(), size)
