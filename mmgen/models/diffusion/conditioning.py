"""Prompts to what a denoiser is told: a diffusers folder's text side, or a sentence encoder. Knows no image and no step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mmgen.errors import BadWeights, TooLong
from mmgen.models.checkpoints import pretrained
from mmgen.models.encoders.sentence_encoder import SentenceEncoder


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What one prompt says to a denoiser. `stack` puts several together: the same fields with a leading B."""

    tokens: Tensor | None = None  # (N, D): the keys of cross-attention
    mask: Tensor | None = None  # (N,) bool: which of them are seen; None: all
    pooled: Tensor | None = None  # (P,): the whole prompt in one vector

    @property
    def shape(self) -> tuple[Any, ...]:
        """Equal for conditions that can be stacked."""
        return tuple(None if one is None else tuple(one.shape) for one in (self.tokens, self.mask, self.pooled))

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for one in (self.tokens, self.mask, self.pooled) if one is not None)


def stack(conditions: Sequence[Conditioning]) -> Conditioning:
    """Conditions of one shape as rows of a batch."""

    def rows(name: str) -> Tensor | None:
        parts = [getattr(condition, name) for condition in conditions]
        return None if parts[0] is None else torch.stack(parts)

    return Conditioning(rows("tokens"), rows("mask"), rows("pooled"))


def null_condition(tokens: int, width: int, device: str | torch.device = "cpu") -> Conditioning:
    """No prompt, as our own models are trained on it: all-zero token states with only the first place seen, a zero vector.

    Training drops a caption by putting this in its place, and guidance starts from it.
    """
    mask = torch.arange(tokens, device=device) == 0
    return Conditioning(torch.zeros(tokens, width, device=device), mask, torch.zeros(width, device=device))


class TextConditioner(Protocol):
    """Prompts to conditions, all of one shape. An empty prompt is the model's null condition."""

    def embed(self, prompts: Sequence[str]) -> list[Conditioning]: ...
    def modules(self) -> list[torch.nn.Module]: ...  # what holds memory
    def networks(self) -> dict[str, torch.nn.Module]: ...  # what LoRA files know, by diffusers' names; row n is prompt n


class NoConditioner:
    """An unconditional model: whatever the prompt, it hears nothing."""

    def embed(self, prompts: Sequence[str]) -> list[Conditioning]:
        return [Conditioning() for _ in prompts]

    def modules(self) -> list[torch.nn.Module]:
        return []

    def networks(self) -> dict[str, torch.nn.Module]:
        return {}


class SentenceConditioner:
    """Our own models: the token states of a sentence encoder, zero-padded to `tokens` places, and its unit-length vector."""

    def __init__(self, encoder: SentenceEncoder, tokens: int) -> None:
        self.encoder, self.tokens = encoder, tokens

    def embed(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Raises TooLong for a prompt of more than `tokens` tokens, [CLS] and [SEP] among them."""
        device = self.encoder.transformer.device
        conditions = [null_condition(self.tokens, self.encoder.dimension, device) for _ in prompts]
        filled = [n for n, prompt in enumerate(prompts) if prompt.strip()]
        for n in filled:
            _check_length(len(self.encoder.token_spans(prompts[n])) + 2, self.tokens)
        if filled:
            rows = self.encoder.tokenize([prompts[n] for n in filled])
            states, lengths = self.encoder.states(rows)
            for n, own, length, vector in zip(
                filled, states, lengths.tolist(), self.encoder.pool(states, lengths), strict=True
            ):
                condition = conditions[n]
                assert condition.tokens is not None and condition.mask is not None and condition.pooled is not None
                condition.tokens[:length] = own[:length]
                condition.mask[:length] = True
                condition.pooled.copy_(vector)
        return conditions

    def modules(self) -> list[torch.nn.Module]:
        return [self.encoder.transformer]

    def networks(self) -> dict[str, torch.nn.Module]:
        return {}


class ClipConditioner:
    """One CLIP text encoder and its last hidden state (Stable Diffusion 1.x, 2.x), or two and their penultimate ones (XL)."""

    def __init__(self, encoders: Sequence[Any], tokenizers: Sequence[Any], zero_null: bool = False) -> None:
        """`zero_null`: no prompt is all zeros (XL's `force_zeros_for_empty_prompt`), not the states of an empty text."""
        self.encoders, self.tokenizers, self.zero_null = encoders, tokenizers, zero_null

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype, zero_null: bool) -> ClipConditioner:
        """From `text_encoder/` and `tokenizer/`, and their second ones if there are any."""
        import transformers

        encoders, tokenizers = [], []
        for suffix in ("", "_2") if (folder / "text_encoder_2").is_dir() else ("",):
            part = folder / f"text_encoder{suffix}"
            name = pretrained.class_name(part)
            if name not in ("CLIPTextModel", "CLIPTextModelWithProjection"):
                raise BadWeights(f"{part} is of class {name}; only CLIP text encoders are known")
            encoders.append(pretrained.load(getattr(transformers, name), part, device, dtype))
            try:
                tokenizers.append(
                    transformers.CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}", local_files_only=True)
                )
            except (OSError, ValueError, TypeError, KeyError) as why:
                raise BadWeights(
                    f"{folder / f'tokenizer{suffix}'} is no CLIP tokenizer ({why}); fetch the model again"
                ) from None
        return cls(encoders, tokenizers, zero_null)

    @torch.inference_mode()
    def embed(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Raises TooLong for a prompt of more tokens than an encoder reads."""
        if not prompts:
            return []
        parts, pooled = [], None
        for encoder, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            rows = tokenizer(list(prompts), padding="max_length", max_length=tokenizer.model_max_length, verbose=False)[
                "input_ids"
            ]
            for row in rows:
                _check_length(len(row), tokenizer.model_max_length)
            out = encoder(torch.tensor(rows, device=encoder.device), output_hidden_states=len(self.encoders) > 1)
            parts.append(out.last_hidden_state if len(self.encoders) == 1 else out.hidden_states[-2])
            pooled = out.text_embeds if len(self.encoders) > 1 and "text_embeds" in out else pooled
        tokens = torch.cat(parts, dim=-1)  # (B, N, D)
        if self.zero_null:
            nonempty = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=tokens.device)
            tokens = tokens * nonempty[:, None, None]
            pooled = None if pooled is None else pooled * nonempty[:, None]
        return [Conditioning(tokens[n], None, None if pooled is None else pooled[n]) for n in range(len(prompts))]

    def modules(self) -> list[torch.nn.Module]:
        return list(self.encoders)

    def networks(self) -> dict[str, torch.nn.Module]:
        return dict(zip(("text_encoder", "text_encoder_2"), self.encoders, strict=False))


def _check_length(tokens: int, limit: int) -> None:
    if tokens > limit:
        raise TooLong(f"the prompt is {tokens} tokens, the model reads {limit}; shorten it")
