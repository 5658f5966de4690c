"""Tokenized documents in a memory-mapped file, packed into training rows in an order that the seed determines."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen import weight_files
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.training.data import text_files


@dataclass(frozen=True)
class TokenStream:
    """Concatenated documents, each preceded by the end-of-text token."""

    tokens: np.ndarray  # (T,) uint16 or uint32, memory-mapped
    starts: np.ndarray  # (documents,) int64, where each begins
    bytes: int  # of the texts, in UTF-8

    @property
    def tokens_per_byte(self) -> float:
        return len(self.tokens) / max(1, self.bytes)

    def beginning(self, count: int) -> TokenStream:
        """Its first tokens; 0: all."""
        if not 0 < count < len(self.tokens):
            return self
        share = count / len(self.tokens)
        return TokenStream(self.tokens[:count], self.starts[self.starts < count], round(share * self.bytes))


@dataclass(frozen=True)
class PackedBatch:
    """Rows as a model reads them. A document that begins inside a row begins at position 0 and sees nothing before it."""

    ids: Tensor  # (B, N)
    targets: Tensor  # (B, N) the next tokens
    positions: Tensor  # (N,), or (B, N) where a document begins inside a row
    documents: Tensor | None  # (B, N) numbers of documents; None: every row is of one

    def to(self, device: torch.device) -> PackedBatch:
        documents = None if self.documents is None else self.documents.to(device)
        return PackedBatch(self.ids.to(device), self.targets.to(device), self.positions.to(device), documents)


class PackedRows:
    """Rows of `size` tokens: every epoch cut at another offset and in another order."""

    def __init__(self, stream: TokenStream, size: int, seed: int = 0, *, shuffled: bool = True) -> None:
        """Raises BadRequest where the documents do not fill a row."""
        self.stream, self.size, self.seed, self.shuffled = stream, size, seed, shuffled
        room = len(stream.tokens) - 1 - (size - 1 if shuffled else 0)
        self.count = room // size
        if self.count < 1:
            raise BadRequest(f"the texts are {len(stream.tokens)} tokens, too few for rows of {size}; give more, or take fewer")
        self._epoch: tuple[int, int, np.ndarray] | None = None  # its number, offset and order

    def __len__(self) -> int:
        """Rows of an epoch."""
        return self.count

    def batch(self, numbers: Sequence[int]) -> PackedBatch:
        """Rows by number, counted on through all epochs."""
        first = np.array([self._first(number) for number in numbers])
        places = first[:, None] + np.arange(self.size + 1)  # (B, N + 1)
        ids = torch.from_numpy(self.stream.tokens[places].astype(np.int64))
        positions, documents = self._documents(places[:, :-1])
        return PackedBatch(ids[:, :-1], ids[:, 1:], positions, documents)

    def _first(self, number: int) -> int:
        """Where in the stream a row begins."""
        epoch, within = divmod(number, self.count)
        if not self.shuffled:
            return within * self.size
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._epoch = epoch, int(rng.integers(self.size)), rng.permutation(self.count)
        _, offset, order = self._epoch
        return offset + int(order[within]) * self.size

    def _documents(self, places: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """(B, N) places in the stream -> positions and numbers of documents."""
        within = torch.arange(self.size)
        number = np.searchsorted(self.stream.starts, places, side="right")
        if (number[:, 0] == number[:, -1]).all():
            return within, None
        began = np.maximum(self.stream.starts[number - 1], places[:, :1])
        return torch.from_numpy(places - began), torch.from_numpy(number)


def prepared(data: Sequence[Path], tokenizer: Path, held_out: float, folder: Path) -> tuple[TokenStream, TokenStream]:
    """Training and held-out documents as tokens, from `folder` where it has them for exactly these files and settings."""
    told = [held_out, weight_files.file_digest(tokenizer), *(weight_files.file_digest(path) for path in data)]
    place = folder / f"tokens-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}"
    if not place.is_dir():
        fresh = place.with_name(place.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        write(data, Tokenizer(tokenizer), held_out, fresh)
        fresh.rename(place)
    return read(place, "train"), read(place, "held-out")


def write(data: Sequence[Path], tokenizer: Tokenizer, held_out: float, folder: Path) -> None:
    for name, documents in zip(("train", "held-out"), text_files.split(list(text_files.read(data)), held_out), strict=True):
        _encode(documents, tokenizer, folder, name)


def read(folder: Path, name: str) -> TokenStream:
    try:
        told: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        path = folder / f"{name}.bin"
        tokens = np.memmap(path, np.dtype(told["dtype"]), "r") if told["starts"] else np.zeros(0, np.uint16)
        return TokenStream(tokens, np.array(told["starts"], dtype=np.int64), told["bytes"])
    except (OSError, ValueError, KeyError) as why:
        raise BadWeights(f"{folder} is damaged ({why}); delete it to read the texts again") from None


def _encode(documents: Sequence[str], tokenizer: Tokenizer, folder: Path, name: str, together: int = 16) -> None:
    """Writes NAME.bin and NAME.json."""
    from mmgen.training.recipes.tokenizer import END

    end, dtype = tokenizer.id(END), np.uint16 if tokenizer.fast.get_vocab_size() <= 2**16 else np.uint32
    starts, total = [], 0
    with (folder / f"{name}.bin").open("wb") as out:
        for first in range(0, len(documents), together):
            part = documents[first : first + together]
            for encoded in tokenizer.fast.encode_batch_fast(list(part), add_special_tokens=False):
                starts.append(total)
                total += 1 + len(encoded.ids)
                np.array([end, *encoded.ids], dtype=dtype).tofile(out)
    told = {"dtype": np.dtype(dtype).name, "starts": starts, "bytes": sum(len(text.encode()) for text in documents)}
    (folder / f"{name}.json").write_text(json.dumps(told))
