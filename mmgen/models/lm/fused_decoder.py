"""All blocks of a decoder in one native call, where every sequence of the batch reads one token. For Llama's kind of block.

Between two of a block's products there are thirty calls of torch, which take as long as a small model's products. The same
functions of kernels.c are called as block by block, and so the results are the same, to the bit. Where all weights are GGUF's
blocks prompts are read so too; their attention is then computed query by query, and not as torch does.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Mapping
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.models.checkpoints.offload import moves
from mmgen.models.cpu.kernels import LANES, MAX_GEMV_ROWS, MAX_HEAD_DIM, MOST_HEADS, DecodeBatch, Kernels, fitting
from mmgen.models.cpu.onednn import PackedLinear
from mmgen.models.cpu.structs import FusedShape, Layer, Product
from mmgen.models.layers.norms import RMSNorm
from mmgen.models.lm.paged_attention import KVPool, PagedAttention
from mmgen.models.lm.transformer import Block, ForwardPass, Transformer
from mmgen.models.quantization.block_layers import BlockLinear
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformer_config import TransformerConfig


def install(transformer: Transformer) -> None:
    """Lets all blocks run as one call wherever that gives the same; without effect on a shape of another kind."""
    if _fits(transformer.config):
        transformer.fused = FusedDecoder(transformer.config)


class FusedDecoder:
    """Of one transformer. What it knows of the blocks is looked up anew when they got other layers or weights."""

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config
        self._known = WatchedWeights()
        self._layers: Any = None
        self._pool: Callable[[], KVPool | None] = lambda: None  # of whose keys and values the layers tell
        self._in_blocks = False  # whether all products are of GGUF's blocks
        self._numbers = (0, 0)  # how many more a text takes than its width, and the most inputs of a product

    def __call__(self, transformer: Transformer, x: Tensor, run: ForwardPass) -> Tensor | None:
        """(1, N, D) after all blocks, as they would give it; None: something here is not of the kind that it knows."""
        if not isinstance(run.attending, PagedAttention) or transformer.training:
            return None
        made, paged = fitting(x), run.attending
        if (
            made is None
            or paged.pool.keys[0].dtype is not torch.float32
            or (run.rotation is not None and run.rotation.query_scale is not None)
            or not self._looked(transformer.blocks)
        ):
            return None
        if self._in_blocks:
            return self._run(made, x.clone(), run, paged.pool, paged.all_rows)
        if (texts := paged.alone) is None or texts.count > MAX_GEMV_ROWS:
            return None
        return self._run(made, x.clone(), run, paged.pool, texts)

    def _run(self, made: Kernels, x: Tensor, run: ForwardPass, pool: KVPool, texts: DecodeBatch) -> Tensor:
        config, rotations = self.config, (run.rotation, run.windowed)
        threads, each = torch.get_num_threads(), texts.most + LANES
        more, padded = self._numbers
        turned = 0 if run.rotation is None else run.rotation.cos.shape[-1]
        shape = FusedShape(
            config.layers, texts.count, config.hidden_size, config.heads, config.kv_heads, config.head_size,
            config.intermediate_size, pool.keys[0].shape[1], turned, each, threads, padded,
            *(0 if one is None else one.cos.data_ptr() for one in rotations),
            *(0 if one is None else one.sin.data_ptr() for one in rotations), config.norm_eps,
        )  # fmt: skip
        room = torch.empty(texts.count * (config.hidden_size + more) + MOST_HEADS * threads * each)
        forward = made.forward_blocks if self._in_blocks else made.decode_all
        forward(
            self._layers_of(pool), ctypes.addressof(shape), x.data_ptr(), room.data_ptr(), texts.about, texts.spans
        )  # fmt: skip
        return x

    def _layers_of(self, pool: KVPool) -> int:
        """Address of the layers, with where their keys and values lie."""
        if self._pool() is not pool:
            for layer, keys, values in zip(self._layers, pool.keys, pool.values, strict=True):
                layer.keys, layer.values = keys.data_ptr(), values.data_ptr()
            self._pool = weakref.ref(pool)
        return ctypes.addressof(self._layers)

    def _looked(self, blocks: nn.ModuleList) -> bool:
        """Whether all blocks are of the kind that it knows."""
        if self._layers is not None and self._known.hold():
            return True
        self._layers, self._known, self._pool = None, WatchedWeights(), lambda: None
        layers: list[Layer] = []
        for number, block in enumerate(blocks):
            if (layer := _layer(block, self._known)) is None:  # type: ignore[arg-type]
                return False
            if self.config.positions == "rotary" and self.config.rotates(number):
                layer.turns = 2 if layer.window else 1
            layers.append(layer)
        self._layers = (Layer * len(layers))(*layers)
        products = [product for layer in layers for product in (layer.qkv, layer.out, layer.up, layer.down)]
        self._in_blocks = all(product.kind == 0 for product in products) and _halves_fit(blocks)
        padded = max(max(product.padded, product.inputs) for product in products)
        config = self.config
        self._numbers = (
            layers[0].qkv.outputs + config.heads * config.head_size + 3 * config.intermediate_size + 2 * padded,
            padded,
        )
        return self._known.hold()  # not where somebody listens


class WatchedWeights:
    """Layers of the blocks and their weights, and where they were found: in lists, as each token asks for it."""

    def __init__(self) -> None:
        self.places: list[tuple[dict[str, Any], str]] = []  # of layers in the modules that hold them
        self.layers: list[nn.Module] = []
        self.hooks: list[Mapping[int, Any]] = []  # of layers: one is filled once somebody listens
        self.weight_places: list[tuple[dict[str, Any], str]] = []  # of weights in their layer, or in its matrix
        self.weights: list[weakref.ref[Tensor]] = []  # they can leave
        self.moves = moves()

    def add(self, holder: nn.Module, name: str) -> None:
        layer = getattr(holder, name)
        self.places.append((holder._modules, name))
        self.layers.append(layer)
        self.hooks += (layer._forward_hooks, layer._forward_pre_hooks)
        for where, own in _weights(layer):
            self.weight_places.append((where, own))
            self.weights.append(weakref.ref(where[own]))

    def hold(self) -> bool:
        """Whether these are the same layers with the same weights, and nobody listens."""
        if self.moves != moves() or any(self.hooks):
            return False
        weights = [weight() for weight in self.weights]
        same = all(map(is_, [where[name] for where, name in self.places], self.layers))
        return same and all(map(is_, [where[name] for where, name in self.weight_places], weights))


def _weights(layer: Any) -> list[tuple[dict[str, Any], str]]:
    """Where a layer keeps what is replaced when weights come and go."""
    if isinstance(layer, BlockLinear):
        return [(layer.matrix._buffers, name) for name in layer.matrix._buffers]
    name = PRODUCTS.get(type(layer), "weight")
    return [(layer._parameters if name in layer._parameters else vars(layer), name)]


PRODUCTS: dict[type, str] = {PackedLinear: "weight", Int8Linear: "packed", Int4Linear: "packed"}
"""Layers that are known, and what of them is replaced when weights come and go."""


def _fits(config: TransformerConfig) -> bool:
    """Whether blocks of that shape are Llama's, or Qwen's, or Mistral's."""
    plain = config.norm == "rms" and not config.norm_plus_one and config.norm_at == "pre" and not config.parallel
    plain = plain and config.residual_multiplier == 1 and config.delta is None and not config.attention_gate
    fed = config.gated and config.activation == "silu" and not config.experts and config.swiglu_limit is None
    seen = config.causal and config.softcap is None and not config.sparse_block and config.encoder is None
    seen = seen and not config.sinks and not config.qk_norm_late and config.qk_norm_over == "head"
    sizes = (config.head_size, config.hidden_size, config.intermediate_size)
    turned = config.positions not in ("relative", "alibi") and not config.rope_interleaved
    return plain and fed and seen and turned and config.head_size <= MAX_HEAD_DIM and not any(size % LANES for size in sizes)


def _layer(block: Block, known: WatchedWeights) -> Layer | None:
    """None: of another kind. What is known of it is added to `known`."""
    attention, layer = block.attention, Layer()
    for name, holder, own in (
        ("norm", block, "attention_norm"),
        ("second_norm", block, "norm"),
        ("query_norm", attention, "query_norm"),
        ("key_norm", attention, "key_norm"),
    ):
        if (norm := getattr(holder, own)) is not None:
            if type(norm) is not RMSNorm:
                return None
            if norm.weight.dtype is not torch.float32:
                return None
            setattr(layer, name, norm.weight.data_ptr())
            known.add(holder, own)
    for name, holder in (("qkv", attention), ("out", attention), ("up", block), ("down", block)):
        product = _product(getattr(holder, name))
        if product is None:
            return None
        setattr(layer, name, product)
        known.add(holder, name)
    layer.window, layer.scale = attention.rules.window or 0, attention.rules.scale
    return layer


def _product(layer: nn.Module) -> Product | None:
    """None: the kernels do not compute such a layer."""
    if type(layer) is BlockLinear and layer.matrix.kernels is not None and layer.matrix.plain:
        matrix = layer.matrix
        at, parts = ctypes.addressof(matrix.parts()), len(matrix.sizes)
        return Product(0, at, _address(layer.bias), 0, 0, matrix.inputs, matrix.outputs, matrix.inputs, parts, matrix.planes)
    if type(layer) is PackedLinear and layer.few is not None:
        at = torch.ops.mkldnn.data_ptr(layer.weight)
        numbers = (32, at, _address(layer.bias), 0, 0, layer.in_features, layer.out_features, layer.few.padded, layer.few.chunk)
        return Product(*numbers)
    if type(layer) is Int8Linear and layer.kernels is not None:
        at, scales, sums = torch.ops.mkldnn.data_ptr(layer.packed), layer.scales.data_ptr(), layer.sums.data_ptr()
        return Product(8, at, _address(layer.bias), scales, sums, layer.in_features, layer.out_features, layer.padded, 0)
    if type(layer) is Int4Linear and layer.kernels is not None:
        at = layer.packed.data_ptr()
        return Product(4, at, _address(layer.bias), 0, 0, layer.in_features, layer.out_features, layer.in_features, 0)
    return None


def _halves_fit(blocks: nn.ModuleList) -> bool:
    """Whether gates and what they let through lie in units of their own: as one tensor or two."""
    return all(len(block.up.matrix.sizes) <= 2 for block in blocks)  # type: ignore[union-attr, arg-type]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
