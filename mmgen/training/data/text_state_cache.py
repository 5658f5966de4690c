"""Caches the token states of captions from a frozen text encoder on disk, as a denoiser's conditioning."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmgen.errors import BadWeights, TooLong
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.encoders.sentence_encoder import SentenceEncoder


@dataclass
class TokenStates:
    """The last hidden layer of many captions, end to end: fp16, memory-mapped on a CPU."""

    states: Tensor  # (T, D) float16
    vectors: Tensor  # (captions, D) float16, the encoder's unit-length vectors
    offsets: Tensor  # (captions + 1,) caption n has the rows offsets[n] to offsets[n + 1]

    def gather(self, captions: Tensor, size: int | None = None) -> Conditioning:
        """(B,) caption numbers -> tokens (B, N, D), mask (B, N) and pooled (B, D), as `SentencePrompts` gives them, float32.

        N is `size`, or the longest of these captions. Raises TooLong.
        """
        captions = captions.to(self.offsets.device)
        first, lengths = self.offsets[captions], self.offsets[captions + 1] - self.offsets[captions]
        longest = int(lengths.max())
        if size is not None and longest > size:
            raise TooLong(f"a caption has {longest} tokens, the denoiser reads {size}; give it more")
        places = torch.arange(size or longest, device=lengths.device)
        mask = places < lengths[:, None]
        rows = torch.where(mask, first[:, None] + places, 0)
        return Conditioning(self.states[rows].float() * mask[..., None], mask, self.vectors[captions].float())

    def to(self, device: str | torch.device) -> TokenStates:
        return TokenStates(self.states.to(device), self.vectors.to(device), self.offsets.to(device))


def cached(
    captions: Sequence[str], encoder: SentenceEncoder, folder: Path, progress: Callable[[int, int], None] | None = None
) -> TokenStates:
    """The captions' states from `folder`, encoded first where it has none for exactly these captions and this encoder."""
    digest = hashlib.sha256(json.dumps([encoder.name, *captions]).encode()).hexdigest()
    place = folder / f"captions-{digest[:16]}"
    if not place.is_dir():
        fresh = place.with_name(place.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        encode(captions, encoder, fresh, progress)
        fresh.rename(place)
    return read(place)


def read(folder: Path) -> TokenStates:
    try:
        states = np.load(folder / "states.npy", mmap_mode="c")  # copy on write: torch wants writable memory
        rest = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("vectors", "offsets"))
        return TokenStates(torch.from_numpy(states), *rest)
    except (OSError, ValueError) as why:
        raise BadWeights(f"{folder} is damaged ({why}); delete it to encode the captions again") from None


def encode(
    captions: Sequence[str],
    encoder: SentenceEncoder,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    together: int = 128,
) -> None:
    """Writes states.npy, vectors.npy and offsets.npy; `together` captions of like length go through a pass."""
    rows = encoder.tokenize(captions)
    lengths = np.array([len(row) for row in rows])
    offsets = np.concatenate(([0], lengths.cumsum()))
    out = np.lib.format.open_memmap(folder / "states.npy", "w+", np.float16, (int(offsets[-1]), encoder.dimension))
    vectors = np.empty((len(rows), encoder.dimension), dtype=np.float16)
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), together):
        part = order[first : first + together]
        states, sizes = encoder.states([rows[n] for n in part])
        vectors[part] = encoder.pool(states, sizes).half().cpu().numpy()
        for n, own, size in zip(part, states.half().cpu().numpy(), lengths[part], strict=True):
            out[offsets[n] : offsets[n + 1]] = own[:size]
        if progress:
            progress(first + len(part), len(order))
    out.flush()
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "offsets.npy", offsets)
