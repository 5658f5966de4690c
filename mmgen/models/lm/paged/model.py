"""What the text runner asks of a model whose keys and values lie in our paged KV cache, whoever made its layers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmgen.models.layers.attention import AttentionBackend, EncoderMemory
from mmgen.models.lm.sampling import DrawPlan
from mmgen.models.transformer_config import KVLayer


@dataclass(frozen=True)
class StepLimits:
    """How far multi-step decoding goes: whichever comes first."""

    most: int  # tokens of each text
    seconds: float  # no other token is begun that would not be ready by then
    stop: ctypes.c_int32  # nor once another thread made this something else than 0
    finals: Sequence[int]  # nor once a text has one of these tokens


@dataclass(frozen=True)
class DecodedSteps:
    """What multi-step decoding chose: of each step a token of each text."""

    tokens: Sequence[Sequence[int]]  # (steps, texts)
    sound: bool  # False: the last step's logits were NaN or infinite somewhere, and its tokens mean nothing


class PagedConfig(Protocol):
    """The configuration's part of it."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...  # that a text holds
    @property
    def kv_layers(self) -> Sequence[KVLayer]: ...  # what a token leaves in each layer
    @property
    def state_bytes(self) -> int: ...  # of what a text leaves in layers that keep a state instead
    def rope_length(self, prompt: int, tokens: int) -> int: ...  # see TransformerConfig.rope_length
    def rope_room(self, tokens: int) -> int | None: ...  # and TransformerConfig.rope_room


class PagedModel(Protocol):
    """A causal language model, or the decoder of an encoder-decoder. Only `batch_forward.read` runs it."""

    @property
    def config(self) -> PagedConfig: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...  # of keys and values
    @property
    def kv_bytes_per_token(self) -> int: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...

    def encode(self, ids: Tensor) -> EncoderMemory:
        """(1, M) ids -> what an encoder-decoder's decoder reads of them."""
        ...

    def read(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, wanted: Tensor, states: bool = True, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """One forward pass over the next tokens of many texts.

        Args:
            ids: (1, N) token ids.
            attending: holds each text's earlier keys and values, and takes the new ones.
            positions: (N,) of each token in its text.
            wanted: (W,) places in the row, ascending.
            states: whether hidden states are asked for; otherwise they may be missing, (0, D).

        Returns: hidden states (N, D), and logits (W, V) of the wanted places.
        """
        ...

    def decode(
        self, ids: Tensor, attending: AttentionBackend, positions: Tensor, limits: StepLimits, draws: Sequence[DrawPlan]
    ) -> DecodedSteps | None:
        """Several forward passes in one call: each reads the token that was chosen after the one before.

        Args:
            ids: (1, N), the next token of each text.
            attending: its tables have place for `limits.most` tokens.
            positions: (limits.most, N).
            draws: of each text, with `limits.most` uniform numbers, unless it takes the likeliest.

        Returns None where the model can only `read`; nothing has changed then.
        """
        ...
