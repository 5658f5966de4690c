"""A folder's safetensors and a module: one tensor at a time from the one to the other, by a table of names, both ways.

Nothing is ever unpickled. A model is never in memory twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen import weight_sets
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import some


@dataclass(frozen=True)
class TensorName:
    """How a tensor of ours stands in a checkpoint."""

    names: tuple[str, ...]  # joined along rows
    sizes: tuple[int, ...] = ()  # rows of each; empty: equal
    transposed: bool = False  # (in, out), as GPT-2 has it
    heads: int = 0  # > 0: rows are q, k, v of the first head, then of the second, ...
    ones: int = 0  # leading dimensions of size 1 that ours lacks
    rows: tuple[int, int, int] | None = None  # ours is theirs from such a row to such a one of so many; read only
    scale: str = ""  # a vector of theirs that ours has multiplied into its rows; read only
    index: tuple[int, int] | None = None  # ours is such a row of theirs, of so many; read only
    alternate: bool = False  # rows of two halves alternate in theirs, the first of the first half first; read only
    folded: int = 0  # theirs is (folded, ...) where ours is flat
    groups: int = 0  # > 0: rows are a group's queries, its key and its value, then the next group's
    group_rows: tuple[int, int, int] = (0, 0, 0)  # rows of a group's queries, key and value

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of all that are read."""
        return (*self.names, self.scale) if self.scale else self.names

    @property
    def read_only(self) -> bool:
        """Whether ours cannot be written as theirs."""
        return bool(self.rows or self.scale or self.index)

    @property
    def as_it_lies(self) -> bool:
        """Whether ours is theirs, rows of theirs, or some of theirs one below the other."""
        moved = self.transposed or self.heads or self.ones or self.alternate or self.folded or self.groups
        return not (moved or self.scale or self.index)

    def shapes(self, ours: torch.Size) -> list[tuple[int, ...]]:
        """Of each tensor that is read."""
        if self.index:
            return [(self.index[1], *(tuple(ours)[::-1] if self.transposed else ours))]
        if self.ones:
            return [(*(1,) * self.ones, *ours)]
        if self.folded:
            return [(self.folded, ours[0] // self.folded, *ours[1:])]
        if self.transposed:
            return [tuple(ours)[::-1]]
        if self.rows:
            return [(self.rows[2], *ours[1:])]
        if self.scale:
            return [tuple(ours), (ours[0],)]
        if len(self.names) == 1:
            return [tuple(ours)]
        sizes = self.sizes or (ours[0] // len(self.names),) * len(self.names)
        return [(size, *ours[1:]) for size in sizes]

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Their tensors -> ours."""
        (whole, *rest) = parts
        if self.index:
            whole = whole[self.index[0]]
            whole = whole.t() if self.transposed else whole
            return torch.cat((whole[0::2], whole[1::2])) if self.alternate else whole
        if self.folded:
            return whole.flatten(0, 1)
        if self.groups:
            return torch.cat([part.flatten(0, 1) for part in whole.unflatten(0, (self.groups, -1)).split(self.group_rows, 1)])
        if self.scale:
            return torch.einsum("i...,i->i...", whole, rest[0])
        if rest:
            return torch.cat(parts)
        if self.ones:
            return whole[(0,) * self.ones]
        if self.rows:
            return whole[slice(*self.rows[:2])]
        if self.transposed:
            return whole.t()
        return whole.unflatten(0, (self.heads, 3, -1)).transpose(0, 1).flatten(0, 2) if self.heads else whole

    def parted(self, ours: Tensor) -> list[Tensor]:
        """Ours -> their tensors."""
        assert not self.read_only, "there is no way back"
        if self.folded:
            return [ours.unflatten(0, (self.folded, -1))]
        if self.groups:
            parts = ours.split([self.groups * rows for rows in self.group_rows])
            return [torch.cat([part.unflatten(0, (self.groups, -1)) for part in parts], 1).flatten(0, 1)]
        if self.ones:
            return [ours[(None,) * self.ones]]
        if self.transposed:
            return [ours.t()]
        if self.heads:
            return [ours.unflatten(0, (3, self.heads, -1)).transpose(0, 1).flatten(0, 2)]
        return list(ours.split(self.sizes)) if self.sizes else list(ours.chunk(len(self.names)))


Names = Mapping[str, TensorName]
"""Our name -> theirs, every layer's number written out."""
Taken = Callable[[str, TensorName, Sequence[str]], bool]
"""Ours, how it stands in the checkpoint and the names of what it is made of -> whether it needs no pouring any more."""


class Checkpoint:
    """The safetensors of a folder, whole or in shards, or of a variant where that is all there is. Read when asked for."""

    def __init__(self, folder: Path, stem: str = "") -> None:
        """`stem`: of the files' names, as in STEM.safetensors; "": what transformers, diffusers or Mistral call them.

        Raises BadWeights where a file is missing or damaged.
        """
        chosen = weight_sets.in_folder(folder, stem)
        if chosen is None:
            raise BadWeights(f"{folder} has no {stem or 'model'}.safetensors; only safetensors are read")
        self.folder, self.stem = folder, chosen.stem
        self.files: dict[str, Path] = {}  # tensor -> its file
        self._opened = {folder / name: _open(folder / name) for name in sorted((*chosen.files, *chosen.missing))}
        for path, file in self._opened.items():
            self.files.update(dict.fromkeys(file.keys(), path))

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._opened[self.files[name]].get_slice(name).get_shape())

    def __getitem__(self, name: str) -> Tensor:
        return self._opened[self.files[name]].get_tensor(name)  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """Of the largest tensor: what the model was saved in."""
        largest = max(self.files, key=lambda name: torch.Size(self.shape(name)).numel())
        return self[largest].dtype


class RenamedCheckpoint(Checkpoint):
    """A checkpoint under other names, maybe a part of it."""

    def __init__(self, whole: Checkpoint, names: Mapping[str, str]) -> None:
        """`names`: the names here, and those in the whole."""
        self.whole, self.folder, self.names = whole, whole.folder, names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def shape(self, name: str) -> tuple[int, ...]:
        return self.whole.shape(self.names[name])

    def __getitem__(self, name: str) -> Tensor:
        return self.whole[self.names[name]]

    @property
    def dtype(self) -> torch.dtype:
        return self.whole.dtype


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise BadWeights(f"{path.parent} has no {path.name}; only safetensors are read") from None
    except (SafetensorError, ValueError, OSError) as why:
        raise BadWeights(f"{path} is damaged ({why}); fetch the model again") from None


def pour(
    checkpoint: Checkpoint, module: nn.Module, names: Names, ignored: str, prefix: str = "", taken: Taken | None = None
) -> None:
    """Copies a checkpoint into a module, in the module's own dtype and on its device.

    `ignored`: a pattern of their tensors that are no weights or that we do not use. `prefix`: may be missing from all their
    names. `taken`: is asked first, with ours, how it stands in the checkpoint and the names there, and may put it into the
    module in its own way. Raises BadWeights that names tensors which are missing, unknown or of another shape.
    """
    state = module.state_dict()
    strip = bool(prefix) and not any(name.startswith(prefix) for name in checkpoint)
    there = {name: name.removeprefix(prefix) if strip else name for theirs in names.values() for name in theirs.needed}
    if missing := sorted({there[name] for name in there if there[name] not in checkpoint}):
        raise BadWeights(f"{checkpoint.folder} lacks {some(missing)}; it is not of this architecture or not whole")
    unknown = sorted(set(checkpoint) - set(there.values()))
    if unknown := [name for name in unknown if not re.search(ignored, name)]:
        raise BadWeights(f"{checkpoint.folder} holds {some(unknown)}, which this architecture has not")
    wrong = [
        f"{there[name]} {checkpoint.shape(there[name])} instead of {shape}"
        for ours, theirs in names.items()
        for name, shape in zip(theirs.needed, theirs.shapes(state[ours].shape), strict=True)
        if checkpoint.shape(there[name]) != shape
    ]
    if wrong:
        raise BadWeights(f"weights of another shape than config.json says: {some(wrong)}")
    read: dict[str, Tensor] = {}
    with torch.no_grad():
        for ours, theirs in names.items():
            if taken is not None and taken(ours, theirs, [there[name] for name in theirs.needed]):
                continue
            if not theirs.index or any(there[name] not in read for name in theirs.needed):  # experts lie in one tensor
                read = {there[name]: checkpoint[there[name]] for name in theirs.needed}
            state[ours].copy_(theirs.joined([read[there[name]] for name in theirs.needed]))


def drawn(module: nn.Module, names: Names) -> dict[str, Tensor]:
    """A module's tensors under a checkpoint's names: the inverse of `pour`. Tied tensors come once."""
    out: dict[str, Tensor] = {}
    state = module.state_dict()
    for ours, theirs in names.items():
        parts = theirs.parted(state[ours].detach())
        out.update({name: part.contiguous() for name, part in zip(theirs.names, parts, strict=True)})
    return out
