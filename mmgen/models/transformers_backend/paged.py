"""transformers' layers with their attention over our paged KV cache: what makes any of its decoders a `PagedModel`.

The library lets attention be chosen by name (its AttentionInterface), and the masks that go with it (AttentionMaskInterface).
Ours hands a layer's queries, keys and values to the pass's `AttentionBackend`; instead of a mask each layer is given the rule
that the mask would have followed, as the library states it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.models.layers.attention import AttentionBackend, AttentionRules, EncoderMemory
from mmgen.models.layers.masks import narrowed
from mmgen.models.lm.paged.model import StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.transformer_config import KVLayer
from mmgen.models.transformers_backend import linear_layers

NAME = "mmgen_paged"
"""Of our attention among those of transformers."""
WITHOUT_EFFECT = {
    "cache_position", "dropout", "is_causal", "layer_idx", "logits_to_keep", "output_attentions", "output_hidden_states",
    "output_router_logits", "position_embeddings", "position_ids", "return_dict", "sliding_window", "token_type_ids",
    "use_cache",
}  # fmt: skip
"""What layers tell their attention that changes nothing of it, or that the mask's rule says as well."""


class UnpagedError(Exception):
    """A model's attention asks for what our KV cache does not do: a reason, as half a sentence."""


@dataclass(frozen=True)
class MaskRule:
    """Which keys the queries of a causal layer see: stands where the layer expects a mask."""

    window: int | None = None  # the last so many, its own included
    chunk: int | None = None  # those of its own chunk of so many places

    def states(self, sees: Callable[..., Tensor], device: torch.device | str = "cpu") -> bool:
        """Whether the library's function, (row, head, query's place, key's place) -> bool, follows this rule."""
        near = self.window or self.chunk or 4
        places = [0, 1, near - 1, near, near + 1, 2 * near, 2 * near + 1, 2 * near + 2, 3 * near, 3 * near + 1]
        q = k = torch.tensor(places, device=device)
        ours, none = narrowed(q, k, causal=True, window=self.window, chunk=self.chunk), torch.tensor(0, device=device)
        assert ours is not None
        return torch.equal(sees(none, none, q[:, None], k[None, :]).expand_as(ours), ours)


class UpstreamPass:
    """One forward pass of the library's layers: calls of our attention are counted, which makes them layers of the pool."""

    def __init__(self, attending: AttentionBackend) -> None:
        self.attending, self.layer = attending, 0

    def attend(self, rules: dict[str, Any], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d), (1, kv_heads, N, d), (1, kv_heads, N, e) -> (1, N, heads, e)"""
        y = self.attending.attend(AttentionRules(self.layer, causal=True, **rules), *(_by_token(x) for x in (q, k, v)))
        self.layer += 1
        return y.transpose(1, 2).contiguous()


_PASS: ContextVar[UpstreamPass | None] = ContextVar("mmgen_upstream_pass", default=None)


def mask_rule(
    *,
    mask_function: Callable[..., Tensor],
    device: torch.device | str,
    local_size: int | None = None,
    use_vmap: bool = False,
    **_: Any,
) -> MaskRule | None:
    """transformers' mask interface: the rule that a mask would follow; None: it is none of ours, and no layer may use it."""
    rules = [MaskRule()] if local_size is None else [MaskRule(window=local_size), MaskRule(chunk=local_size)]
    return None if use_vmap else next((rule for rule in rules if rule.states(mask_function, device)), None)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: object,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: (1, heads, N, d), (1, kv_heads, N, d), (1, kv_heads, N, e) -> (1, N, heads, e), None.

    Raises UnpagedError for a mask of the model's own and for what we do not know.
    """
    run = _PASS.get()
    if run is None:
        raise UnpagedError("it is run outside of a pass")
    if not isinstance(attention_mask, MaskRule):
        raise UnpagedError("the masks of its layers follow no rule of ours")
    unknown = sorted(name for name, given in other.items() if given is not None and name not in WITHOUT_EFFECT)
    if unknown or other.get("is_causal") is False:
        raise UnpagedError(f"its attention takes {', '.join(unknown) or 'later tokens in'}")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    rules = {"window": attention_mask.window, "chunk": attention_mask.chunk, "scale": scale, "softcap": softcap, "sinks": s_aux}
    return run.attend(rules, query, key, value), None


def _by_token(x: Tensor) -> Tensor:
    """(1, heads, N, d) as our kernels read it: a token's heads behind one another."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


@dataclass(frozen=True)
class UpstreamConfig:
    """What we need to know of a model of transformers."""

    vocab_size: int
    max_tokens: int
    kv_layers: tuple[KVLayer, ...] = ()
    causal, state_bytes = True, 0

    def rope_length(self, prompt: int, tokens: int) -> int:
        return 0  # rotary scalings by the length of the text are not paged, see backend.py

    def rope_room(self, tokens: int) -> int | None:
        return None


class PagedUpstream(nn.Module):
    """A causal language model of transformers as a `PagedModel`. Only `read` runs it."""

    encoder = None

    def __init__(self, model: Any, config: UpstreamConfig) -> None:
        super().__init__()
        register()
        self.model, self.config = model, config
        self.linears = frozenset[nn.Module]()  # layers that are run as such: others' weights are read in another way
        self.dtype = model.get_input_embeddings().weight.dtype
        self.configs = list({id(one): one for one in map(_config_of, model.modules()) if one is not None}.values())
        self._states: Tensor | None = None
        self._selects = "logits_to_keep" in inspect.signature(model.forward).parameters
        _decoder(model).register_forward_hook(self._keep)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

    @property
    def kv_bytes_per_token(self) -> int:
        """Of keys and values in all layers."""
        return sum(layer.size for layer in self.config.kv_layers) * int(self.dtype.itemsize)

    def encode(self, ids: Tensor) -> EncoderMemory:
        raise AssertionError("a decoder alone encodes nothing")

    def read(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, wanted: Tensor, states: bool = True, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """A row of many texts, see `PagedModel`: states (N, D), and logits (W, V) of the wanted places."""
        some = {"logits_to_keep": wanted} if self._selects else {}
        with _over(self.configs, attending), nullcontext() if some else _head_of(self.model, wanted):
            out = self.model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),  # as of one text: the library is not to part the row itself
                position_ids=positions[None],
                use_cache=False,
                return_dict=True,
                **some,
            )
        hidden, self._states = self._states, None
        assert hidden is not None, "the decoder was run"
        logits = out.logits[0]
        return hidden[0], logits if len(logits) == len(wanted) else logits[wanted]  # a head that is no module gives all

    def decode(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, limits: StepLimits, draws: Sequence[DrawPlan]
    ) -> None:
        """The library's layers run step by step."""

    def _keep(self, module: nn.Module, arguments: object, output: Any) -> None:
        self._states = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]

    def pack(self) -> None:
        """Lays weights out as the CPU's kernels read them, in place; from then on the model is for inference only."""
        linear_layers.replace(self.model, self.linears, linear_layers.packed)

    def quantize(self, precision: str) -> None:
        """Rounds linear layers to int8 or int4, in place. Raises BadRequest where the device has no kernels for it."""
        linear_layers.replace(self.model, self.linears, partial(linear_layers.rounded, precision=precision))


def register() -> None:
    """Makes our attention known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask_rule)


def _decoder(model: Any) -> nn.Module:
    """The part that gives hidden states."""
    parts = (model.get_decoder(), model.base_model, *model.children())
    inner = next((part for part in parts if part is not model and hasattr(part, "get_input_embeddings")), None)
    if inner is None:
        raise UnpagedError("its hidden states cannot be had")
    return inner  # type: ignore[no-any-return]


def _config_of(module: nn.Module) -> Any:
    """What tells the module which attention to take: one for all, or one a part or a layer."""
    config = getattr(module, "config", None)
    return config if hasattr(config, "_attn_implementation_internal") else None


@contextmanager
def _head_of(model: Any, wanted: Tensor) -> Iterator[None]:
    """The head, where it is a module, reads these places of the row alone: for models that cannot be told so."""
    head = model.get_output_embeddings()
    hook = head and head.register_forward_pre_hook(lambda module, arguments: (arguments[0][:, wanted], *arguments[1:]))
    try:
        yield
    finally:
        if hook:
            hook.remove()


@contextmanager
def _over(configs: Sequence[Any], attending: AttentionBackend) -> Iterator[None]:
    before, token = [config._attn_implementation_internal for config in configs], _PASS.set(UpstreamPass(attending))
    for config in configs:
        config._attn_implementation_internal = NAME
    try:
        yield
    finally:
        _PASS.reset(token)
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation_internal = name
