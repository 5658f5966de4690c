"""The shape of a transformer: what differs between families is a field here, not another class. Knows no tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mmgen.deprecated import attributes, constructor, tell
from mmgen.errors import ConfigError

OLD_KEYS = {
    "vocabulary": "vocab_size", "width": "hidden_size", "hidden": "intermediate_size", "kv_heads": "num_kv_heads",
}  # fmt: skip
"""Keys of the last release. Shape files, recipes and checkpoints with them are read for one more."""
Positions = Literal["learned", "sinusoidal", "rotary", "relative", "alibi", "none"]
Norm = Literal["layer", "rms"]
NormAt = Literal["post", "pre", "both", "after"]
NormOver = Literal["head", "heads", "all"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "relu2", "silu"]


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched to texts longer than those of training; see positions.py for each kind."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic where a YAML file is loaded

    kind: Literal["linear", "dynamic", "llama3", "yarn", "longrope"]
    factor: float = 1.0
    original: int = 0  # tokens the model was trained on; 0: the shape's max_tokens
    low: float = 1.0  # llama3: turns over the original length below which a frequency is divided
    high: float = 4.0  # llama3: and above which it is left alone
    fast: float = 32.0  # yarn: the same two bounds
    slow: float = 1.0
    attention: float | None = None  # yarn, longrope: what cosines and sines are multiplied with; None: by their formula
    short_factors: tuple[float, ...] = ()  # longrope, one a frequency
    long_factors: tuple[float, ...] = ()
    truncate: bool = True  # yarn: the ramp begins and ends at whole frequencies
    attention_beta: float = 0.0  # queries are multiplied by 1 + beta * log(1 + position // original); Llama 4


@dataclass(frozen=True)
class KVLayer:
    """What one token leaves in a layer's KV cache."""

    heads: int  # key-value heads
    key: int  # numbers of a head's key
    value: int  # and of its value

    @property
    def size(self) -> int:
        return self.heads * (self.key + self.value)


@dataclass(frozen=True)
class GatedDelta:
    """Layers that keep a matrix a head instead of every token's keys and values; see layers/gated_delta.py."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    layers: tuple[bool, ...]  # which, repeated over all
    key_heads: int  # of queries and keys; each serves value_heads / key_heads heads
    value_heads: int
    key_dim: int  # numbers of a head's key
    value_dim: int
    kernel: int = 4  # tokens that the convolution sees

    @property
    def convolved(self) -> int:
        """Numbers of queries, keys and values together."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def state_size(self) -> int:
        """Numbers that a text leaves in a layer."""
        return self.convolved * (self.kernel - 1) + self.value_heads * self.key_dim * self.value_dim


class OldShapeKeys:
    """A dataclass that pydantic also fills from a mapping with keys of the last release."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_current_keys, handler(source))


def _current_keys(values: Any) -> Any:
    """A mapping by today's keys. Where a key is there by both names, the old one was laid over a file, and counts."""
    if not isinstance(values, Mapping):
        return values
    if "encoder" in values:
        values = {**values, "encoder": _current_keys(values["encoder"])}
    old = OLD_KEYS.keys() & values.keys()
    for key in sorted(old):
        tell(f"shape: {key}", OLD_KEYS[key])
    kept = {key: value for key, value in values.items() if key not in old}
    return {**kept, **{OLD_KEYS[key]: values[key] for key in old}}


@constructor(**OLD_KEYS)
@attributes(width="hidden_size", hidden="intermediate_size", vocabulary="vocab_size", groups="kv_heads", head="head_size")
@dataclass(frozen=True)
class TransformerConfig(OldShapeKeys):
    """A shape. The defaults are BERT's."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int  # of the feed-forward
    max_tokens: int
    token_types: int = 0  # BERT's segments; 0: none
    positions: Positions = "learned"
    norm: Norm = "layer"
    norm_at: NormAt = "post"  # the residual sum (Vaswani et al. 2017), what a sublayer reads ("pre"), gives ("after"), or both
    norm_eps: float = 1e-12
    activation: Activation = "gelu"

    causal: bool = False  # False: places see all they are given: an encoder or, with `prefix_mask`, a prefix language model
    num_kv_heads: int | None = None  # None: as many as heads; fewer: grouped-query; 1: multi-query attention
    head_dim: int | None = None  # None: hidden_size / heads
    qkv_bias: bool = True
    out_bias: bool = True
    qk_norm: bool = False  # queries and keys are normalised,
    qk_norm_over: NormOver = "head"  # each head by itself, by one weight or by weights of its own ("heads"), or all together
    qk_norm_late: bool = False  # behind the rotation instead of before it
    scale: float | None = None  # of attention scores; None: 1 / sqrt(head_dim)
    softcap: float | None = None  # scores become cap * tanh(scores / cap)
    window: int | None = None  # how many last keys a query sees, itself included
    windowed: tuple[bool, ...] = ()  # which layers have the window, repeated over all; empty: every one
    nope_layers: tuple[bool, ...] = ()  # which layers rotate nothing (NoPE, Kazemnejad et al. 2023), repeated; empty: none
    attention_gate: bool = False  # what heads give is multiplied by the sigmoid of a gate that lies behind each head's query
    delta: GatedDelta | None = None  # layers without attention
    sinks: bool = False  # a learned score for each head that takes its share of the softmax; Xiao et al. 2023
    sparse_block: int = 0  # block-sparse: a place sees blocks of so many places, see masks.py; 0: all
    sparse_local: int = 1  # the last so many blocks, its own included
    sparse_global: int = 1  # and the first so many

    feed_forward_bias: bool = True
    gated: bool = False  # act(gate) * up: SwiGLU with silu, GeGLU with gelu
    experts: int = 0  # mixture of experts instead of one feed-forward; 0: none
    experts_per_token: int = 2
    moe_intermediate_size: int | None = None  # of each expert; None: intermediate_size
    norm_topk_prob: bool = True  # the shares of the chosen experts sum up to 1
    router_bias: bool = False
    dense_layers: tuple[bool, ...] = ()  # which layers have one feed-forward in spite of `experts`, repeated; empty: none
    shared_intermediate_size: int = 0  # of an expert that every place goes to; 0: none
    swiglu_limit: float | None = None  # gate and up are clamped to it, as gpt-oss has it: see feed_forward.ClampedGate
    swiglu_alpha: float = 1.702
    parallel: bool = False  # attention and feed-forward read the same place and are added together
    shared_norm: bool = False  # and through the same norm
    residual_multiplier: float = 1.0  # of what a sublayer adds

    embedding_norm: bool = True
    embedding_scaled: bool = False  # by sqrt(hidden_size); Vaswani et al. 2017, 3.4
    embedding_multiplier: float | None = None  # by this instead
    norm_bias: bool = True
    norm_plus_one: bool = False  # RMSNorm multiplies by 1 + weight
    rope_theta: float = 10_000.0
    rope_theta_windowed: float | None = None  # of layers with a window; None: the same
    rope_scaling: RopeScaling | None = None  # of layers without one
    rotary_dim: int | None = None  # how much of a head turns; None: all
    rope_interleaved: bool = False  # neighbours are a pair instead of places half a head apart
    relative_buckets: int = 32  # of T5's bias
    relative_distance: int = 128
    dropout: float = 0.0  # of embeddings and of what a sublayer adds, in training

    tied: bool = True  # the language model's head is the word embedding
    head_bias: bool = False
    head_transform: bool = False  # BERT's masked language model: linear, activation, norm before the head
    head_scaled: bool = False  # states by 1 / sqrt(hidden_size) before the head, as T5 does
    head_softcap: float | None = None  # of logits
    logits_scaling: float = 1.0  # they are divided by it
    encoder: TransformerConfig | None = None  # of an encoder-decoder: the half that reads

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "layers", "heads", "intermediate_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a transformer needs at least 1")
        if self.head_dim is None and self.hidden_size % self.heads:
            raise ConfigError(f"{self.heads} heads do not divide hidden_size {self.hidden_size}; change one or give head_dim")
        if self.heads % self.kv_heads:
            raise ConfigError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads; take a divisor")
        if self.experts and not 1 <= self.experts_per_token <= self.experts:
            raise ConfigError(f"experts_per_token is {self.experts_per_token}, of {self.experts} experts; take 1 to as many")

    @property
    def kv_heads(self) -> int:
        """Key-value heads: `num_kv_heads`, or as many as heads."""
        return self.heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def head_size(self) -> int:
        """Numbers of one head: `head_dim`, or `hidden_size / heads`."""
        return self.hidden_size // self.heads if self.head_dim is None else self.head_dim

    @property
    def kv_layers(self) -> tuple[KVLayer, ...]:
        """Of every layer."""
        one, none = KVLayer(self.kv_heads, self.head_size, self.head_size), KVLayer(0, 0, 0)
        return tuple(none if self.recurs(layer) else one for layer in range(self.layers))

    @property
    def state_bytes(self) -> int:
        """Of what a text leaves in layers that keep a state instead of its tokens, in fp32."""
        recurrent = sum(self.recurs(layer) for layer in range(self.layers))
        return 0 if self.delta is None else 4 * recurrent * self.delta.state_size

    def recurs(self, layer: int) -> bool:
        """Whether a layer keeps a state instead of keys and values."""
        return self.delta is not None and self.delta.layers[layer % len(self.delta.layers)]

    def window_of(self, layer: int) -> int | None:
        return self.window if not self.windowed or self.windowed[layer % len(self.windowed)] else None

    def rotates(self, layer: int) -> bool:
        """Whether a layer has rotary positions."""
        return not (self.nope_layers and self.nope_layers[layer % len(self.nope_layers)])

    def mixes(self, layer: int) -> bool:
        """Whether a layer's feed-forward is a mixture of experts."""
        return bool(self.experts) and not (self.dense_layers and self.dense_layers[layer % len(self.dense_layers)])

    @property
    def expert_size(self) -> int:
        """Of an expert's hidden layer."""
        return self.moe_intermediate_size or self.intermediate_size

    @property
    def embedding_scale(self) -> float:
        if self.embedding_multiplier is not None:
            return self.embedding_multiplier
        return self.hidden_size**0.5 if self.embedding_scaled else 1.0

    @property
    def head_scale(self) -> float:
        return (self.hidden_size**-0.5 if self.head_scaled else 1.0) / self.logits_scaling

    @property
    def score_scale(self) -> float:
        return 1 / math.sqrt(self.head_size) if self.scale is None else self.scale

    def rope_length(self, prompt: int, tokens: int) -> int:
        """The length of text, in tokens, whose rotary frequencies all keys of a text have so far; 0: of any.

        Texts may share keys only where it is the same. longrope takes one set of factors for a whole text, by its length so
        far: one that grows beyond the original length is to be read anew. dynamic turns a prompt by the prompt's length, and
        each later token by its own.
        """
        kind = None if self.rope_scaling is None else self.rope_scaling.kind
        original = self.rope_original
        if kind == "longrope":
            return original + 1 if tokens > original else 0
        return prompt if kind == "dynamic" and prompt > original else 0

    def rope_room(self, tokens: int) -> int | None:
        """How many tokens more a text can have before all its keys change; None: as many as you like."""
        if self.rope_scaling is None or self.rope_scaling.kind != "longrope" or tokens > self.rope_original:
            return None
        return self.rope_original - tokens

    @property
    def rope_original(self) -> int:
        """Tokens of the texts that rotary positions were trained on."""
        return (self.rope_scaling and self.rope_scaling.original) or self.max_tokens

    def differs(self, other: TransformerConfig) -> list[str]:
        """Fields in which two shapes are not the same model; dropout is none of them."""
        ours, theirs = asdict(self._written_out()), asdict(other._written_out())
        return [name for name in ours if ours[name] != theirs[name]]

    def _written_out(self) -> TransformerConfig:
        """What stands for a number that follows from others, replaced by that number."""
        scaling = self.rope_scaling and replace(self.rope_scaling, original=self.rope_scaling.original or self.max_tokens)
        return replace(
            self,
            num_kv_heads=self.kv_heads,
            head_dim=self.head_size,
            scale=round(self.score_scale, 9),
            windowed=tuple(self.window_of(layer) is not None for layer in range(self.layers)),
            nope_layers=tuple(not self.rotates(layer) for layer in range(self.layers)),
            dense_layers=tuple(not self.mixes(layer) for layer in range(self.layers)),
            delta=self.delta and replace(self.delta, layers=tuple(self.recurs(layer) for layer in range(self.layers))),
            moe_intermediate_size=self.expert_size,
            rope_scaling=scaling,
            dropout=0.0,
            encoder=self.encoder and self.encoder._written_out(),
        )


def load(source: Path | str | Mapping[str, Any], overrides: Sequence[str] = ()) -> TransformerConfig:
    """A shape from a YAML file such as configs/models/gpt2.yaml, or from a mapping; `overrides` such as "layers=2".

    Raises NotFound for a missing file and ConfigError for everything else.
    """
    from pydantic import RootModel

    from mmgen import config

    class ShapeFile(RootModel[TransformerConfig]):
        pass

    return config.load(source, ShapeFile, overrides).root
