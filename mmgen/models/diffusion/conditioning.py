"""Prompts to what a denoiser is told: a diffusers folder's text side, or a sentence encoder. Knows no image and no step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.diffusion.prompts.textual_inversion import LearnedWord
from mmgen.models.diffusion.prompts.windows import TokenWindow, windows
from mmgen.models.encoders.sentence_encoder import SentenceEncoder


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What one prompt says to a denoiser. `stack` puts several together: the same fields with a leading B."""

    tokens: Tensor | None = None  # (N, D): the keys of cross-attention
    mask: Tensor | None = None  # (N,) bool: which of them are seen; None: all
    pooled: Tensor | None = None  # (P,): the whole prompt in one vector
    image: Tensor | None = None  # (C, h, w): latents of an image that the prompt changes, whose tokens a transformer reads
    references: tuple[Tensor, ...] = ()  # likewise of further images, each of its own size

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for conditions that can be stacked: the numbers a token, those of the whole prompt, the sizes of the images."""
        numbers = tuple(None if one is None else one.shape[-1] for one in (self.tokens, self.pooled))
        images = () if self.image is None else (self.image, *self.references)
        return (*numbers, *(tuple(one.shape) for one in images))

    @property
    def bytes(self) -> int:
        parts = (self.tokens, self.mask, self.pooled, self.image, *self.references)
        return sum(one.nbytes for one in parts if one is not None)


def stack(conditions: Sequence[Conditioning]) -> Conditioning:
    """Conditions of one kind as rows of a batch. Shorter ones are filled up with places that the mask hides."""
    pooled = [one.pooled for one in conditions if one.pooled is not None]
    images = [one.image for one in conditions if one.image is not None]
    further = tuple(torch.stack(each) for each in zip(*(one.references for one in conditions), strict=True))
    made = torch.stack(pooled) if pooled else None, torch.stack(images) if images else None
    return Conditioning(*_tokens(conditions), *made, further)


def _tokens(conditions: Sequence[Conditioning]) -> tuple[Tensor | None, Tensor | None]:
    """(B, N, D), and the mask (B, N) where a row needs one."""
    rows = [one.tokens for one in conditions if one.tokens is not None]
    if not rows:
        return None, None
    masks = [one.mask for one in conditions]
    if len({len(one) for one in rows}) == 1 and all(one is None for one in masks):
        return torch.stack(rows), None
    seen = [row.new_ones(len(row), dtype=torch.bool) if one is None else one for row, one in zip(rows, masks, strict=True)]
    return pad_sequence(rows, batch_first=True), pad_sequence(seen, batch_first=True)


def null_condition(tokens: int, width: int, device: str | torch.device = "cpu") -> Conditioning:
    """No prompt, as our own models are trained on it: all-zero token states with only the first place seen, a zero vector.

    Training drops a caption by putting this in its place, and guidance starts from it.
    """
    mask = torch.arange(tokens, device=device) == 0
    return Conditioning(torch.zeros(tokens, width, device=device), mask, torch.zeros(width, device=device))


AdaptedRows = Callable[[str, Sequence[int]], AbstractContextManager[None]]
"""Of a text encoder's name, and for each row of its pass the number of the prompt that it belongs to."""
PARTS = ("text_encoder", "text_encoder_2")


def unadapted(network: str, owners: Sequence[int]) -> AbstractContextManager[None]:
    """No row is changed."""
    return nullcontext()


class TextConditioner(Protocol):
    """Prompts to conditions, all of one kind. An empty prompt is the model's null condition.

    learned: words with vectors of their own, for all prompts; adapted: changes rows of a text encoder, see `AdaptedRows`.
    Raises BadRequest for marks in a prompt that cannot be read, TooLong for too many tokens.
    """

    def embed(
        self, prompts: Sequence[str], learned: Sequence[LearnedWord] = (), adapted: AdaptedRows = ...
    ) -> list[Conditioning]: ...
    def count(self, prompt: str) -> tuple[int, int] | None: ...  # tokens, and those read at once; None: it does not say
    def widths(self) -> list[int]: ...  # numbers a token, of each CLIP text encoder
    def modules(self) -> list[torch.nn.Module]: ...  # what holds memory
    def networks(self) -> dict[str, torch.nn.Module]: ...  # what LoRA files know, by diffusers' names


class NoConditioner:
    """An unconditional model: whatever the prompt, it hears nothing."""

    def embed(
        self, prompts: Sequence[str], learned: Sequence[LearnedWord] = (), adapted: AdaptedRows = unadapted
    ) -> list[Conditioning]:
        return [Conditioning() for _ in prompts]

    def count(self, prompt: str) -> None:
        return None

    def widths(self) -> list[int]:
        return []

    def modules(self) -> list[torch.nn.Module]:
        return []

    def networks(self) -> dict[str, torch.nn.Module]:
        return {}


class PromptConditioner:
    """A plugin's own, which has `embed(prompts)` and `modules()` alone: no learned words, nothing that LoRA files know."""

    def __init__(self, text: Any) -> None:
        self.text = text

    def embed(
        self, prompts: Sequence[str], learned: Sequence[LearnedWord] = (), adapted: AdaptedRows = unadapted
    ) -> list[Conditioning]:
        return list(self.text.embed(prompts))

    def count(self, prompt: str) -> None:
        return None

    def widths(self) -> list[int]:
        return []

    def modules(self) -> list[torch.nn.Module]:
        return list(self.text.modules())

    def networks(self) -> dict[str, torch.nn.Module]:
        return {}


class SentenceConditioner:
    """Our own models: the token states of a sentence encoder, zero-padded to `tokens` places a window, and its unit vector."""

    def __init__(self, encoder: SentenceEncoder, tokens: int) -> None:
        self.encoder, self.tokens = encoder, tokens

    def embed(
        self, prompts: Sequence[str], learned: Sequence[LearnedWord] = (), adapted: AdaptedRows = unadapted
    ) -> list[Conditioning]:
        """A weight scales its token's state, in the sentence's vector too, which is the mean over all windows."""
        device = self.encoder.transformer.device
        parts = [windows(prompt, self._words, self.tokens - 2) if prompt.strip() else [] for prompt in prompts]
        rows = [[self.encoder.cls, *one.ids, self.encoder.sep] for part in parts for one in part]
        conditions = [null_condition(self.tokens, self.encoder.dimension, device) for _ in prompts]
        if not rows:
            return conditions
        states, lengths = self.encoder.states(rows)
        states = states.clone()  # no inference tensor, as training keeps what comes of it
        for n, one in enumerate(one for part in parts for one in part):
            if any(weight != 1 for weight in one.weights):
                states[n, 1 : len(one.weights) + 1] *= torch.tensor(one.weights, device=device)[:, None]
        vectors, at = self.encoder.pool(states, lengths), 0
        for n, part in enumerate(parts):
            if part:
                own = slice(at, at + len(part))
                conditions[n], at = self._condition(states[own], lengths[own], vectors[own]), at + len(part)
        return conditions

    def count(self, prompt: str) -> tuple[int, int]:
        return sum(len(one.ids) for one in windows(prompt, self._words, self.tokens - 2)), self.tokens - 2

    def _words(self, words: Sequence[str]) -> list[list[int]]:
        return [list(one.ids) for one in self.encoder.tokenizer.encode_many(words)]

    def _condition(self, states: Tensor, lengths: Tensor, vectors: Tensor) -> Conditioning:
        """(W, N, D) states of a prompt's windows, (W,) their lengths, (W, D) vectors."""
        tokens = states.new_zeros(len(states), self.tokens, states.shape[2])
        width = min(states.shape[1], self.tokens)
        tokens[:, :width] = states[:, :width]
        mask = torch.arange(self.tokens, device=states.device) < lengths[:, None]
        pooled = vectors[0].clone() if len(vectors) == 1 else torch.nn.functional.normalize(vectors.clone().mean(0), dim=0)
        return Conditioning(tokens.flatten(0, 1), mask.flatten(), pooled)

    def modules(self) -> list[torch.nn.Module]:
        return [self.encoder.transformer]

    def widths(self) -> list[int]:
        return []

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
    def embed(
        self, prompts: Sequence[str], learned: Sequence[LearnedWord] = (), adapted: AdaptedRows = unadapted
    ) -> list[Conditioning]:
        """Prompts of any length, in windows; the whole prompt's vector is its first window's.

        A weight moves its token's state away from that of an empty prompt, `e + w (z - e)`, as ComfyUI does.
        """
        parts = [self._windows(prompt, learned) for prompt in prompts]  # of each prompt, of each encoder
        encoded = [self._encoded(number, [part[number] for part in parts], adapted) for number in range(len(self.encoders))]
        conditions = []
        for n, prompt in enumerate(prompts):
            tokens = torch.cat([states[n] for states, _ in encoded], dim=-1).flatten(0, 1)  # (W, N, D) each -> (W N, D)
            pooled = next((vectors[n] for _, vectors in reversed(encoded) if vectors is not None), None)
            if self.zero_null and not prompt.strip():
                tokens, pooled = tokens * 0, None if pooled is None else pooled * 0
            conditions.append(Conditioning(tokens, None, pooled))
        return conditions

    def count(self, prompt: str) -> tuple[int, int]:
        """By the first encoder."""
        return sum(len(one.ids) for one in self._windows(prompt, ())[0]), self.tokenizers[0].model_max_length - 2

    def _windows(self, prompt: str, learned: Sequence[LearnedWord]) -> list[list[TokenWindow]]:
        """For each encoder, equally many."""
        found = []
        for number, tokenizer in enumerate(self.tokenizers):
            words = {word: one.vectors[number] for one in learned for word in one.words}
            found.append(windows(prompt, partial(_ids, tokenizer), tokenizer.model_max_length - 2, words))
        most = max(map(len, found))
        return [[*part, *(TokenWindow() for _ in range(most - len(part)))] for part in found]

    def _encoded(
        self, number: int, parts: Sequence[Sequence[TokenWindow]], adapted: AdaptedRows
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """Of one encoder: every prompt's states (W, N, D), and its vector where the encoder has one."""
        weighted = [any(weight != 1 for one in part for weight in one.weights) for part in parts]
        parts = [[*part, TokenWindow()] if own else part for part, own in zip(parts, weighted, strict=True)]
        owners = [n for n, part in enumerate(parts) for _ in part]
        with adapted(PARTS[number], owners):
            states, pooled = self._states(number, [one for part in parts for one in part])
        sizes = [len(part) for part in parts]
        rows = list(states.split(sizes))
        for n, part in enumerate(parts):
            if weighted[n]:
                rows[n] = _weighted(rows[n][:-1], rows[n][-1:], part)
        return rows, None if pooled is None else [one[0] for one in pooled.split(sizes)]

    def _states(self, number: int, rows: Sequence[TokenWindow]) -> tuple[Tensor, Tensor | None]:
        """(R, N, D) and (R, P). A word with vectors of its own takes them for its tokens' embeddings."""
        encoder, tokenizer, two = self.encoders[number], self.tokenizers[number], len(self.encoders) > 1
        ids = torch.full((len(rows), tokenizer.model_max_length), tokenizer.pad_token_id)
        for row, window in zip(ids, rows, strict=True):
            row[: len(window.ids) + 2] = torch.tensor([tokenizer.bos_token_id, *window.ids, tokenizer.eos_token_id])

        def put(module: Any, given: Any, embedded: Tensor) -> Tensor:
            for row, window in zip(embedded, rows, strict=True):
                for place, vector in window.vectors.items():
                    row[place + 1] = vector.to(row)
            return embedded

        hook = encoder.get_input_embeddings().register_forward_hook(put)
        try:
            out = encoder(ids.to(encoder.device), output_hidden_states=two)
        finally:
            hook.remove()
        return out.hidden_states[
            -2
        ] if two else out.last_hidden_state, out.text_embeds if two and "text_embeds" in out else None

    def modules(self) -> list[torch.nn.Module]:
        return list(self.encoders)

    def widths(self) -> list[int]:
        return [int(encoder.config.hidden_size) for encoder in self.encoders]

    def networks(self) -> dict[str, torch.nn.Module]:
        return dict(zip(PARTS, self.encoders, strict=False))


def _ids(tokenizer: Any, words: Sequence[str]) -> list[list[int]]:
    """Of each word, without special tokens."""
    return [list(ids) for ids in tokenizer(list(words), add_special_tokens=False, verbose=False)["input_ids"]]


def _weighted(states: Tensor, empty: Tensor, rows: Sequence[TokenWindow]) -> Tensor:
    """(W, N, D) states, (1, N, D) of an empty prompt; tokens of weight 1 stay what they are to the bit."""
    weights = states.new_ones(states.shape[:2])
    for row, one in zip(weights, rows, strict=False):
        row[1 : len(one.weights) + 1] = states.new_tensor(one.weights)
    return torch.where(weights[..., None] == 1, states, empty + weights[..., None] * (states - empty))
