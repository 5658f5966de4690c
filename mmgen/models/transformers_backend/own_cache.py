"""A language model of transformers read a few tokens at a time, with the cache that the library makes for each text.

For all that cannot run on our paged KV cache: recurrent and hybrid models, caches of a kind of their own, encoder-decoders.
Ids in, logits out; knows no decoding loop and no jobs. What is fed to a forward pass is what the library's own `generate`
would feed it, so that its results are the library's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.transformers_backend import cache_state, cache_trials, linear_layers
from mmgen.models.transformers_backend.cache_trials import CacheSize
from mmgen.models.transformers_backend.sequence_cache import EncodedSource, SequenceCache, Stack, Text
from mmgen.registry import one_line

NO_LIMIT = 1 << 20
"""Tokens of a model that says no limit: a recurrent state holds any number."""
LONG = 1 << 15
"""Tokens of a long text."""
LIMITS = ("max_decoder_position_embeddings", "max_position_embeddings", "n_positions", "max_seq_len")
ENCODER_LIMITS = ("max_encoder_position_embeddings", *LIMITS[1:])
"""What configurations call the number of their positions."""
HELD = "modules"
"""Where states that modules keep by themselves stand among the library's caches."""


@dataclass(frozen=True)
class OwnCacheConfig:
    """What callers ask of a model's shape."""

    vocab_size: int
    max_tokens: int
    max_source: int = 0  # tokens that its encoder reads; 0: it has none
    causal: bool = True


class OwnCacheLM(nn.Module):
    """A causal or sequence-to-sequence model as transformers made it."""

    def __init__(self, model: Any) -> None:
        """`model`: with weights, in evaluation mode. Two short texts are read to measure its cache."""
        super().__init__()
        self.model = model
        text = model.config.get_text_config(decoder=True)
        self.encoder: Any = model.get_encoder() if model.config.is_encoder_decoder else None
        source = 0 if self.encoder is None else _limit(getattr(self.encoder, "config", model.config), ENCODER_LIMITS)
        self.config = OwnCacheConfig(_vocabulary(model, text), _limit(text), source)
        takes = set(inspect.signature(model.forward).parameters)
        self._position_ids, self._mask = "position_ids" in takes, "attention_mask" in takes
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.held: Sequence[tuple[nn.Module, str]] = ()  # states that modules keep as attributes, and their names
        before = _attributes(model)
        with torch.inference_mode(), linear_layers.CalledLinears(model) as called:
            cache_trials.nbytes(self, 2, 4)
        self.linears = called.found
        self.held = [
            key for key, value in _attributes(model).items() if isinstance(value, Tensor) and before.get(key, key) is None
        ]
        self._hold(None)
        self.size = CacheSize.measured(self)

    @property
    def device(self) -> torch.device:
        return self.model.device  # type: ignore[no-any-return]

    @property
    def kv_bytes_per_token(self) -> int:
        return self.size.token + self.size.source

    @property
    def context_bytes(self) -> int:
        """Of a text of full length, or of a long one where there is no limit."""
        return self.size.of(min(self.config.max_tokens, LONG), min(self.config.max_source, LONG))

    def pack(self) -> None:
        """Lays weights out as the CPU's kernels read them, in place; from then on the model is for inference only."""
        linear_layers.replace(self.model, self.linears, linear_layers.packed)

    def quantize(self, precision: str) -> None:
        """Rounds linear layers to int8 or int4, in place. Raises BadRequest where the device or the model does not allow it."""
        linear_layers.replace(self.model, self.linears, partial(linear_layers.rounded, precision=precision))
        try:
            cache_trials.nbytes(self, 2, 4)
        except Exception as why:  # whatever layers raise that read weights in a way of their own
            raise BadRequest(
                f"{precision} is not for this model, whose layers fail on it ({one_line(why)[:120]}); take bf16"
            ) from why

    @cached_property
    def chunks(self) -> bool:
        """Whether a text may be read in parts: tried once, on a short one."""
        return cache_trials.reads_in_parts(self)

    @cached_property
    def stacks(self) -> bool:
        """Whether texts of one length may be read in a batch, with results equal to alone."""
        return cache_trials.reads_together(self, same_length=True)

    @cached_property
    def pads(self) -> bool:
        """The same of texts of different lengths, the shorter ones with masked zeros in front of them."""
        return self.stacks and cache_trials.reads_together(self, same_length=False)

    def reading_bytes(self, seen: Mapping[str, Tensor]) -> int:
        """What is needed beside caches while images are read."""
        return 0

    def encode(self, ids: Sequence[int], seen: Mapping[str, Tensor] = {}) -> EncodedSource:
        """What the encoder makes of a source, and of images in it."""
        assert self.encoder is not None, "only an encoder-decoder encodes"
        return EncodedSource(self.encoder(input_ids=torch.tensor([list(ids)], device=self.device), return_dict=True))

    def read(self, texts: Sequence[Text], states: bool = False, every: bool = False) -> tuple[Tensor, Tensor | None]:
        """Reads what each text has beyond its cache: any number of tokens of one text, or one token of each of several.

        Args:
            texts: caches, and all ids of their texts so far.
            states: whether hidden states are wanted.
            every: whether the logits behind every token are, of one text.

        Returns: logits (B, V) behind the last tokens, or (N, V) behind every one, fp32; hidden states (B, N, D) of what was
            read, or None.
        Raises Unstackable, and then nothing was read. After any other error the caches are to be forgotten.
        """
        caches = [cache for cache, _ in texts]
        counts = {len(ids) - cache.length for cache, ids in texts}
        assert len(texts) == 1 or counts == {1}, "a batch reads one token of each text"
        state = dict(self._stacked(caches))
        self._hold(state.pop(HELD, None))
        inputs = self._inputs(texts, state | ({} if every else self._last_only), count := counts.pop())
        out = self.model(**inputs, return_dict=True, **({"output_hidden_states": True} if states else {}))
        kept = _kept(self.model, out) or state
        if self.held:
            kept[HELD] = [getattr(module, name) for module, name in self.held]
            self._hold(None)
        for cache, ids in texts:
            cache.length = len(ids) if kept else 0  # what keeps nothing reads all at every token
        if len(texts) == 1:
            caches[0].own = kept
        else:
            together = Stack(tuple(caches), kept)
            for cache in caches:
                cache.own, cache.stack = {}, together
        return (out.logits[0, -count:] if every else out.logits[:, -1]).float(), _hidden(out) if states else None

    def _hold(self, states: Sequence[Tensor] | None) -> None:
        """Gives the modules their states; None: those of a new text."""
        for number, (module, name) in enumerate(self.held):
            setattr(module, name, None if states is None else states[number])

    def _stacked(self, caches: Sequence[SequenceCache]) -> dict[str, Any]:
        if len(caches) == 1:
            return caches[0].state or self._fresh()
        first = caches[0].stack
        if first is not None and first.sequences == tuple(caches):
            return first.state
        stacked: dict[str, Any] = cache_state.stack(*(cache.state for cache in caches))
        return stacked

    def _fresh(self) -> dict[str, Any]:
        """An empty cache as `generate` makes it; none for models that make their own."""
        from transformers import GenerationConfig
        from transformers.generation import GenerationMode

        kwargs: dict[str, Any] = {}
        self.model._prepare_cache_for_generation(GenerationConfig(use_cache=True), kwargs, GenerationMode.GREEDY_SEARCH, 1, 0)
        return kwargs

    def _inputs(self, texts: Sequence[Text], state: dict[str, Any], count: int) -> dict[str, Any]:
        """A forward pass's arguments."""
        longest = max(len(ids) for _, ids in texts)
        before = [longest - len(ids) for _, ids in texts]
        ids = torch.tensor([[0] * pad + list(one) for pad, (_, one) in zip(before, texts, strict=True)], device=self.device)
        places = torch.arange(longest, device=self.device) - torch.tensor(before, device=self.device)[:, None]
        more: dict[str, Any] = {"use_cache": True, **state}
        seen = (places >= 0).long() if any(before) else None
        if self.encoder is None:
            more.update({"position_ids": places.clamp(min=0)} if self._position_ids else {})
            more.update({"attention_mask": seen} if self._mask else {})
        else:
            more.update(_sources([cache.source for cache, _ in texts]))
            more.update({} if seen is None else {"decoder_attention_mask": seen})
        first, again = texts[0][0].length == 0, texts[0][0].length > 0
        inputs: dict[str, Any] = self.model.prepare_inputs_for_generation(
            ids, next_sequence_length=count if again else None, is_first_iteration=first, **more
        )
        return inputs


def _attributes(model: nn.Module) -> dict[tuple[nn.Module, str], Any]:
    """Tensors that are neither parameters nor buffers, and attributes that may become such."""
    return {
        (module, name): value
        for module in model.modules()
        for name, value in vars(module).items()
        if value is None or isinstance(value, Tensor)
    }


def _kept(model: Any, out: Any) -> dict[str, Any]:
    """The cache among a forward pass's outputs, by the name under which the next one takes it."""
    from transformers.generation.utils import ALL_CACHE_NAMES

    kwargs = model._update_model_kwargs_for_generation(out, {}, is_encoder_decoder=model.config.is_encoder_decoder)
    return {name: kwargs[name] for name in ALL_CACHE_NAMES if kwargs.get(name) is not None}


def _hidden(out: Any) -> Tensor:
    states = out.get("decoder_hidden_states") or out["hidden_states"]
    return states[-1]  # type: ignore[no-any-return]


def _sources(sources: Sequence[EncodedSource | None]) -> dict[str, Any]:
    """What encoders read, one source a row, the shorter ones behind masked zeros."""
    read = [one for one in sources if one is not None]
    if len(read) == 1:
        return {"encoder_outputs": read[0].out}
    longest = max(one.length for one in read)
    padded = torch.cat([F.pad(one.states, (0, 0, longest - one.length, 0)) for one in read])
    told = {"encoder_outputs": type(read[0].out)(last_hidden_state=padded)}
    if all(one.length == longest for one in read):
        return told
    places = torch.arange(longest, device=padded.device)
    return {**told, "attention_mask": torch.stack([places >= longest - one.length for one in read]).long()}


def _vocabulary(model: Any, text: Any) -> int:
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    return int(text.vocab_size if weight is None else weight.shape[0])


def _limit(text: Any, names: Sequence[str] = LIMITS) -> int:
    """Tokens that positions are made for."""
    for name in names:
        if isinstance(value := getattr(text, name, None), int) and value > 0:
            return value
    return NO_LIMIT
