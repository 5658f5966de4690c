"""All blocks of a decoder in one native call, where every sequence of the batch reads one token. For Llama's kind of block.

Between two of a block's products there are thirty calls of torch, which take as long as a small model's products. The same
functions of kernels.c are called as block by block, and so the results are the same, to the bit. Where all weights are GGUF's
blocks prompts are read so too.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmgen.models.cpu.kernels import LANES, MAX_GEMV_ROWS, MAX_HEAD_DIM, MOST_HEADS, UNIT, DecodeBatch, Kernels, fitting
from mmgen.models.cpu.onednn import PackedLinear
from mmgen.models.cpu.structs import DecodeQuery, DecodeSteps, FusedShape, Layer, ModelEnds, Product
from mmgen.models.layers.norms import RMSNorm
from mmgen.models.lm.paged.attention import PagedAttention
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import DecodedSteps, StepLimits
from mmgen.models.lm.sampling import DrawPlan, DrawPlans
from mmgen.models.lm.transformer import Block, ForwardPass, Transformer
from mmgen.models.lm.watched_weights import WatchedWeights, address
from mmgen.models.quantization.block_layers import BlockEmbedding, BlockLinear
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformer_config import TransformerConfig


class HeadedModel(Protocol):
    """A language model as far as a pass from ids to logits needs it."""

    @property
    def transformer(self) -> Transformer: ...
    @property
    def transform(self) -> nn.Module | None: ...
    @property
    def head(self) -> nn.Module: ...


def install(transformer: Transformer, model: HeadedModel | None = None) -> None:
    """Lets all blocks run as one call wherever that gives the same; without effect on a shape of another kind.

    `model`: that of the transformer, whose word vectors and head can be part of the call.
    """
    if fits(transformer.config):
        transformer.fused = FusedDecoder(transformer.config, model)


class FusedDecoder:
    """Of one transformer. What it knows of the blocks is looked up anew when they got other layers or weights."""

    def __init__(self, config: TransformerConfig, model: HeadedModel | None = None) -> None:
        self.config, self._model = config, model
        self._known = WatchedWeights()
        self._layers: Any = None
        self._pool: Callable[[], KVPool | None] = lambda: None  # of whose keys and values the layers tell
        self._in_blocks = False  # whether all products are of GGUF's blocks
        self._ends: ModelEnds | None = None  # where word vectors and head are of them too
        self._numbers = (0, 0)  # how many more a text takes than its width, and the most inputs of a product

    def __call__(self, transformer: nn.Module, x: Tensor, run: ForwardPass) -> Tensor | None:
        """(1, N, D) after all blocks, as they would give it; None: something here is not of the kind that it knows."""
        made = fitting(x)
        if made is None or (paged := self._paged(transformer, run)) is None:
            return None
        if self._in_blocks:
            return self._run(made, x.clone(), run, paged.pool, paged.all_rows)
        if (texts := paged.alone) is None or texts.count > MAX_GEMV_ROWS:
            return None
        return self._run(made, x.clone(), run, paged.pool, texts)

    def read(self, ids: Tensor, run: ForwardPass, wanted: Tensor, states: bool = True) -> tuple[Tensor, Tensor] | None:
        """(1, N) ids -> states (N, D) behind the last norm, and logits (W, V) of the wanted rows; None: as of `__call__`.

        `states`: False: none are returned, (0, D), and the last block is computed for wanted rows alone, which ascend.
        """
        model, config = self._model, self.config
        if model is None or (paged := self._paged(model.transformer, run)) is None or self._ends is None:
            return None
        if (made := fitting(paged.pool.keys[0])) is None:
            return None
        _check_words(ids, config.vocab_size)
        x, count = torch.empty(ids.shape[1], config.hidden_size), len(wanted)
        logits, ends = torch.empty(count, config.vocab_size), self._ends
        ends.ids, ends.wanted, ends.count, ends.logits = ids.data_ptr(), wanted.data_ptr(), count, logits.data_ptr()
        ends.only = not states
        self._run(made, x, run, paged.pool, paged.all_rows, ctypes.addressof(ends))
        return x if states else x[:0], logits

    def decode(self, ids: Tensor, run: ForwardPass, limits: StepLimits, draws: Sequence[DrawPlan]) -> DecodedSteps | None:
        """`PagedModel.decode`, where word vectors and head are GGUF's blocks too; `run`: with the rotation of all steps."""
        model, config = self._model, self.config
        if model is None or (paged := self._paged(model.transformer, run)) is None or self._ends is None:
            return None
        if (made := fitting(paged.pool.keys[0])) is None or (texts := paged.alone) is None:
            return None
        _check_words(ids, config.vocab_size)
        rows, ends, finals = texts.count, self._ends, torch.tensor(limits.finals, dtype=torch.int64)
        now, wanted, chosen = ids[0].clone(), torch.arange(rows), torch.empty(limits.most, rows, dtype=torch.int64)
        x, logits = torch.empty(rows, config.hidden_size), torch.empty(rows, config.vocab_size)
        plans, drawn = DrawPlans(draws), any(not plan.sampling.greedy for plan in draws)
        room = torch.empty(torch.get_num_threads() if drawn else 0, 3, config.vocab_size)
        ends.ids, ends.wanted, ends.count, ends.logits = now.data_ptr(), wanted.data_ptr(), rows, logits.data_ptr()
        ends.only = 0
        steps = DecodeSteps(
            limits.most, limits.seconds, ctypes.addressof(limits.stop), finals.data_ptr(), len(finals), chosen.data_ptr(),
            plans.address, room.data_ptr(), 0, 0,
        )  # fmt: skip
        about = ctypes.addressof(ends), ctypes.addressof(steps)
        self._run(made, x, run, paged.pool, texts, *about, now.data_ptr())
        return DecodedSteps(chosen[: steps.done].tolist(), not steps.unsound)

    def _paged(self, transformer: nn.Module, run: ForwardPass) -> PagedAttention | None:
        """Where keys and values lie, if all is of the kind that it knows."""
        if not isinstance(run.attending, PagedAttention) or transformer.training:
            return None
        if run.attending.pool.keys[0].dtype is not torch.float32:
            return None
        if run.rotation is not None and run.rotation.query_scale is not None:
            return None
        return run.attending if self._looked(transformer.blocks) else None  # type: ignore[arg-type]

    def _run(
        self, made: Kernels, x: Tensor, run: ForwardPass, pool: KVPool, texts: DecodeBatch, ends: int = 0, steps: int = 0,
        ids: int = 0,
    ) -> Tensor:  # fmt: skip
        config, rotations = self.config, (run.rotation, run.windowed)
        threads, each = torch.get_num_threads(), texts.most + LANES
        more, padded = self._numbers
        between = max(2 * config.intermediate_size, 2 * UNIT * threads)  # numbers of a row between up and down
        about_row = ctypes.sizeof(DecodeQuery) // ctypes.sizeof(ctypes.c_float)
        turned = 0 if run.rotation is None else run.rotation.cos.shape[-1]
        shape = FusedShape(
            config.layers, texts.count, config.hidden_size, config.heads, config.kv_heads, config.head_size,
            config.intermediate_size, pool.keys[0].shape[1], turned, each, threads, padded,
            *(0 if one is None else one.cos.data_ptr() for one in rotations),
            *(0 if one is None else one.sin.data_ptr() for one in rotations), config.norm_eps,
        )  # fmt: skip
        room = torch.empty(texts.count * (config.hidden_size + between + more + about_row) + MOST_HEADS * threads * each)
        layers, about = self._layers_of(pool), ctypes.addressof(shape)
        if steps:
            made.decode_steps(layers, about, ends, steps, x.data_ptr(), room.data_ptr(), ids, texts.about, texts.spans)
        elif self._in_blocks:
            made.forward_blocks(layers, about, ends, x.data_ptr(), room.data_ptr(), texts.about, texts.spans)
        else:
            made.decode_all(layers, about, x.data_ptr(), room.data_ptr(), texts.about, texts.spans)
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
        self._ends = _ends(self._model, self._known) if self._in_blocks and self._model is not None else None
        padded = max(max(product.padded, product.inputs) for product in products)
        config = self.config
        self._numbers = (
            layers[0].qkv.outputs + config.heads * config.head_size + config.intermediate_size + 2 * padded,
            padded,
        )
        return self._known.hold()  # not where somebody listens


def fits(config: TransformerConfig) -> bool:
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
        return Product(0, at, address(layer.bias), 0, 0, matrix.inputs, matrix.outputs, matrix.inputs, parts, matrix.planes)
    if type(layer) is PackedLinear and layer.few is not None:
        at = torch.ops.mkldnn.data_ptr(layer.weight)
        numbers = (32, at, address(layer.bias), 0, 0, layer.in_features, layer.out_features, layer.few.padded, layer.few.chunk)
        return Product(*numbers)
    if type(layer) is Int8Linear and layer.kernels is not None:
        at, scales, sums = torch.ops.mkldnn.data_ptr(layer.packed), layer.scales.data_ptr(), layer.sums.data_ptr()
        return Product(8, at, address(layer.bias), scales, sums, layer.in_features, layer.out_features, layer.padded, 0)
    if type(layer) is Int4Linear and layer.kernels is not None:
        at = layer.packed.data_ptr()
        return Product(4, at, address(layer.bias), 0, 0, layer.in_features, layer.out_features, layer.in_features, 0)
    return None


def _ends(model: HeadedModel, known: WatchedWeights) -> ModelEnds | None:
    """Word vectors, last norm and head, which are then `known` too; None: one of them is of another kind."""
    transformer, config = model.transformer, model.transformer.config
    words, head = transformer.embed.words, _product(model.head)
    plain = (
        config.embedding_scale == 1 and config.positions == "rotary" and not config.token_types and not config.embedding_norm
    )
    plain = plain and model.transform is None and config.head_scale == 1 and config.head_softcap is None
    if not plain or head is None or head.kind or type(transformer.norm) is not RMSNorm or not isinstance(words, BlockEmbedding):
        return None
    if words.matrix.kernels is None or not words.matrix.plain or len(words.matrix.sizes) > 1:
        return None
    if transformer.norm.weight.dtype is not torch.float32:
        return None
    for holder, name in ((transformer, "norm"), (transformer.embed, "words"), (model, "head")):
        known.add(holder, name)  # type: ignore[arg-type]
    return ModelEnds(0, ctypes.addressof(words.matrix.parts()), transformer.norm.weight.data_ptr(), 0, 0, 0, 0, head)


def _halves_fit(blocks: nn.ModuleList) -> bool:
    """Whether gates and what they let through lie in units of their own: as one tensor or two."""
    return all(len(block.up.matrix.sizes) <= 2 for block in blocks)  # type: ignore[union-attr, arg-type]


def _check_words(ids: Tensor, words: int) -> None:
    if not 0 <= int(ids.min()) <= int(ids.max()) < words:
        raise IndexError(f"words are 0 to {words - 1}, not {int(ids.min())} to {int(ids.max())}")
