"""Who holds which block of a key-value cache. Knows block numbers, token ids and counts; no tensors and no requests.

A block holds the keys and values of `SIZE` tokens (Kwon et al. 2023, PagedAttention). Here a table's blocks lie behind one
another as far as possible, so that attention on a CPU reads them where they are: a table that begins gets a room of its own,
empty blocks kept for its growth until somebody needs them more.

A full block is known by the hash of its tokens and of all before it. Whoever begins with the same tokens shares it, also after
its first owner is gone: such blocks are idle, and are emptied only when space is short, the longest unused first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

SIZE = 16
"""Tokens a block."""


@dataclass(eq=False)
class BlockTable:
    """One text's blocks, in order. Written by `BlockManager` alone."""

    want: int = 0  # tokens that it will hold as far as one can tell
    salt: bytes = b""  # whose keys and values they are: tables with another share nothing with it
    rope_length: int = 0  # its keys are turned as those of a text of at least so many tokens
    blocks: list[int] = field(default_factory=list)
    length: int = 0  # tokens whose keys and values stand there
    hashes: list[bytes] = field(default_factory=list)  # of its first full blocks
    runs: list[tuple[int, int]] = field(default_factory=list)  # its blocks as (first, how many) without gaps
    room: range = range(0)  # empty blocks that its next ones are taken from


class BlockManager:
    """The account of `count` blocks. Each is held by tables, idle, part of one table's room, or empty."""

    def __init__(self, count: int, most_idle: int | None = None) -> None:
        """`most_idle`: blocks that texts may leave behind; None: as many as there are.

        Blocks that were used once are used again before new ones, so that this bounds what of a pool is ever written to.
        """
        self.count = self.free = count  # `free`: blocks that can be had
        self.most_idle = count if most_idle is None else most_idle
        self.references = np.zeros(count, dtype=np.int32)
        self._empty = np.ones(count, dtype=bool)
        self._known: dict[bytes, int] = {}  # hash -> block
        self._hashes: dict[int, bytes] = {}  # and back
        self._idle: OrderedDict[int, None] = OrderedDict()  # known and held by nobody, the longest unused first
        self._rooms: dict[BlockTable, None] = {}

    def needed(self, table: BlockTable, tokens: int) -> int:
        """New blocks for so many more tokens; one more where the last is shared and has to be copied."""
        more = -(-(table.length + tokens) // SIZE) - len(table.blocks)
        return max(0, more) + (tokens > 0 and self._shared_end(table) is not None)

    def extend(self, table: BlockTable, tokens: int) -> list[tuple[int, int]] | None:
        """Makes place for so many more tokens, writable. Returns the blocks to copy as (from, to); None: there is no space."""
        needed = self.needed(table, tokens)
        if needed > 0 and needed > self.free:
            return None
        copies = []
        place = self._shared_end(table) if tokens else None
        if place is not None:
            old, new = table.blocks[place], self._take(table)
            table.blocks[place] = new
            self.references[old] -= 1
            copies.append((old, new))
        while len(table.blocks) * SIZE < table.length + tokens:
            table.blocks.append(self._take(table))
        if needed:
            table.runs = _runs(table.blocks)
        return copies

    def match(self, ids: Sequence[int], want: int = 0, salt: bytes = b"", rope_length: int = 0) -> BlockTable:
        """A table that begins with all known blocks of these tokens, but for the last token, which is to be read."""
        table = BlockTable(want, salt, rope_length)
        for digest in digests(ids[:-1], salt=salt):
            block = self._known.get(digest)
            if block is None:
                break
            self._idle.pop(block, None)
            self.free -= int(self.references[block] == 0)
            self.references[block] += 1
            table.blocks.append(block)
            table.hashes.append(digest)
        table.length, table.runs = SIZE * len(table.blocks), _runs(table.blocks)
        return table

    def keep(self, table: BlockTable, ids: Sequence[int]) -> None:
        """`ids`: all tokens of the table. Its full blocks become known."""
        for digest in digests(ids[: table.length], table.hashes, table.salt):
            block = table.blocks[len(table.hashes)]
            table.hashes.append(digest)
            if digest not in self._known:
                self._known[digest], self._hashes[block] = block, digest

    def cut(self, table: BlockTable, length: int) -> None:
        """The tokens from `length` on are not true after all. Never below what `keep` was told."""
        assert length >= SIZE * len(table.hashes), "a known block cannot be written again"
        table.length = min(table.length, length)
        used = -(-table.length // SIZE)
        shared = [block for block in table.blocks[used:] if self.references[block] > 1]
        if shared:  # it may write into what it keeps beyond its end
            self.references[shared] -= 1
            table.blocks = [block for block in table.blocks if block not in shared]
            table.runs = _runs(table.blocks)

    def fork(self, table: BlockTable, want: int = 0) -> BlockTable:
        """A second table over the blocks that are in use; whoever writes first into the last one copies it."""
        shared = table.blocks[: -(-table.length // SIZE)]
        self.references[shared] += 1
        return BlockTable(want, table.salt, table.rope_length, list(shared), table.length, list(table.hashes), _runs(shared))

    def release(self, table: BlockTable) -> None:
        """The table ends. Its last blocks count as unused for the longest, so that beginnings stay."""
        for block in reversed(table.blocks):
            self.references[block] -= 1
            self.free += int(self.references[block] == 0)
            if self.references[block] == 0 and block in self._hashes:
                self._idle[block] = None
            elif self.references[block] == 0:
                self._empty[block] = True
        self._leave(table)
        self._evict(len(self._idle) - self.most_idle)
        table.blocks, table.length, table.hashes, table.runs = [], 0, [], []

    def _shared_end(self, table: BlockTable) -> int | None:
        """The place in the table of a block that is to be written next and belongs to others too."""
        place = table.length // SIZE
        if table.length % SIZE and self.references[table.blocks[place]] > 1:
            return place
        return None

    def _take(self, table: BlockTable) -> int:
        if not table.room:
            self._enter(table)
        block = table.room[0]
        table.room = table.room[1:]
        if not table.room:
            self._rooms.pop(table, None)
        self.references[block] = 1
        self.free -= 1
        return block

    def _enter(self, table: BlockTable) -> None:
        """Gives it a room: behind its last block, or where there is enough, or the largest there is."""
        wanted = max(1, -(-table.want // SIZE) - len(table.blocks))
        behind = table.blocks[-1] + 1 if table.blocks else self.count
        room = self._hole(wanted, behind)
        if len(room) < wanted and self._idle:
            self._evict(wanted)
            room = self._hole(wanted, behind)
        if not room:
            for other in list(self._rooms):
                self._leave(other)
            room = self._hole(wanted, behind)
        self._empty[room.start : room.stop] = False
        table.room = room
        self._rooms[table] = None

    def _hole(self, wanted: int, behind: int) -> range:
        """Of the runs of empty blocks the one behind, or the smallest that is large enough, or the largest; none: empty."""
        edges = np.flatnonzero(np.diff(self._empty, prepend=False, append=False))
        starts, sizes = edges[::2], edges[1::2] - edges[::2]
        if not len(starts):
            return range(0)
        at = int(starts.searchsorted(behind))
        if at == len(starts) or starts[at] != behind:
            enough = np.flatnonzero(sizes >= wanted)
            at = int(enough[sizes[enough].argmin()]) if len(enough) else int(sizes.argmax())
        return range(int(starts[at]), int(starts[at] + min(sizes[at], wanted)))

    def _evict(self, wanted: int) -> None:
        for _ in range(min(wanted, len(self._idle))):
            block, _ = self._idle.popitem(last=False)
            del self._known[self._hashes.pop(block)]
            self._empty[block] = True

    def _leave(self, table: BlockTable) -> None:
        self._empty[table.room.start : table.room.stop] = True
        table.room = range(0)
        self._rooms.pop(table, None)


def digests(ids: Sequence[int], known: Sequence[bytes] = (), salt: bytes = b"") -> list[bytes]:
    """The chained hashes of the full blocks behind those whose hashes are known already."""
    found, last = [], known[-1] if known else salt
    for at in range(SIZE * len(known), len(ids) - SIZE + 1, SIZE):
        last = blake2b(last + np.asarray(ids[at : at + SIZE], dtype=np.int64).tobytes(), digest_size=16).digest()
        found.append(last)
    return found


def _runs(blocks: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and sum(runs[-1]) == block:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((block, 1))
    return runs
