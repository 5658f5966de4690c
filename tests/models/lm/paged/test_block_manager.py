"""The account of blocks against a plain twin: nothing is lost, shared or written twice; rooms keep texts in one piece."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mmgen.models.lm.paged.block_manager import SIZE, BlockManager, BlockTable, digests


class Account(RuleBasedStateMachine):
    """Tables with the tokens that each believes to have written; `content` is what really stands in the blocks."""

    @initialize(count=st.integers(2, 24))
    def begin(self, count: int) -> None:
        self.blocks = BlockManager(count)
        self.texts: dict[BlockTable, list[int]] = {}
        self.content: dict[tuple[int, int], int] = {}  # (block, place) -> token

    def some(self, n: int) -> BlockTable:
        return list(self.texts)[n % len(self.texts)]

    @rule(ids=st.lists(st.integers(0, 1), min_size=1, max_size=60), want=st.integers(0, 80))
    def match(self, ids: list[int], want: int) -> None:
        table = self.blocks.match(ids, want)
        assert table.length < len(ids)
        self.texts[table] = ids[: table.length]

    @precondition(lambda self: self.texts)
    @rule(n=st.integers(0, 9), ids=st.lists(st.integers(0, 1), min_size=1, max_size=40))
    def write(self, n: int, ids: list[int]) -> None:
        table = self.some(n)
        needed, free = self.blocks.needed(table, len(ids)), self.blocks.free
        copies = self.blocks.extend(table, len(ids))
        assert (copies is None) == (needed > free)
        if copies is None:
            return
        assert free - self.blocks.free == needed
        for old, new in copies:
            self.content.update({(new, place): self.content.get((old, place), -1) for place in range(SIZE)})
        for at, token in enumerate(ids, table.length):
            block = table.blocks[at // SIZE]
            assert self.blocks.references[block] == 1, "a shared block is written"
            self.content[block, at % SIZE] = token
        table.length += len(ids)
        self.texts[table] += ids

    @precondition(lambda self: self.texts)
    @rule(n=st.integers(0, 9))
    def keep(self, n: int) -> None:
        table = self.some(n)
        self.blocks.keep(table, self.texts[table])
        assert len(table.hashes) == table.length // SIZE

    @precondition(lambda self: self.texts)
    @rule(n=st.integers(0, 9), back=st.integers(0, 20))
    def cut(self, n: int, back: int) -> None:
        table = self.some(n)
        length = max(SIZE * len(table.hashes), table.length - back)
        self.blocks.cut(table, length)
        del self.texts[table][length:]

    @precondition(lambda self: self.texts)
    @rule(n=st.integers(0, 9), want=st.integers(0, 40))
    def fork(self, n: int, want: int) -> None:
        table = self.some(n)
        self.texts[self.blocks.fork(table, want)] = list(self.texts[table])

    @precondition(lambda self: self.texts)
    @rule(n=st.integers(0, 9))
    def release(self, n: int) -> None:
        table = self.some(n)
        self.blocks.release(table)
        del self.texts[table]

    @invariant()
    def every_text_still_stands(self) -> None:
        for table, text in getattr(self, "texts", {}).items():
            assert [self.content[table.blocks[at // SIZE], at % SIZE] for at in range(table.length)] == text
            assert [block for first, count in table.runs for block in range(first, first + count)] == table.blocks

    @invariant()
    def every_block_is_in_one_place(self) -> None:
        if not hasattr(self, "blocks"):
            return
        held = Counter(block for table in self.texts for block in table.blocks)
        assert all(self.blocks.references[block] == held[block] for block in range(self.blocks.count))
        rooms = [block for table in self.blocks._rooms for block in table.room]
        idle, empty = list(self.blocks._idle), np.flatnonzero(self.blocks._empty).tolist()
        assert sorted([*held, *rooms, *idle, *empty]) == list(range(self.blocks.count))
        assert self.blocks.free == self.blocks.count - len(held)
        assert set(self.blocks._known.values()) == set(self.blocks._hashes)


Account.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAccount = Account.TestCase


def filled(blocks: BlockManager, ids: list[int], want: int = 0) -> BlockTable:
    table = blocks.match(ids, want)
    assert blocks.extend(table, len(ids) - table.length) is not None
    table.length = len(ids)
    blocks.keep(table, ids)
    return table


@pytest.mark.parametrize("fork_first", [True, False])
def test_a_cut_text_does_not_write_into_its_twin(fork_first: bool) -> None:
    """What stands beyond a text's end is shared with nobody, whether it was cut before or after the fork."""
    blocks = BlockManager(8)
    table = blocks.match([0])
    assert blocks.extend(table, 20) == []
    table.length = 20
    twin = blocks.fork(table) if fork_first else None
    blocks.cut(table, 0)
    twin = twin or blocks.fork(table)
    assert blocks.extend(table, 20) == []
    assert not set(table.blocks) & set(twin.blocks)


def test_texts_that_grow_in_turn_stay_in_one_piece() -> None:
    blocks = BlockManager(64)
    tables = [BlockTable(want=160) for _ in range(3)]
    for _ in range(160):
        for table in tables:
            assert blocks.extend(table, 1) == []
            table.length += 1
    assert [len(table.runs) for table in tables] == [1, 1, 1]


def test_a_finished_text_is_found_again_until_space_is_short() -> None:
    blocks = BlockManager(8)
    ids = list(range(40))
    blocks.release(filled(blocks, ids))
    table = blocks.match(ids)
    assert (table.length, blocks.free) == (32, 6)
    blocks.release(table)
    other = filled(blocks, list(range(100, 228)))  # takes all 8
    assert len(other.blocks) == 8
    assert blocks.match(ids).length == 0


def test_the_last_token_is_always_left_to_read() -> None:
    blocks = BlockManager(8)
    ids = list(range(2 * SIZE))
    filled(blocks, ids)
    assert blocks.match(ids).length == SIZE
    assert blocks.match([*ids, 5]).length == 2 * SIZE


def test_the_beginning_of_an_unused_text_stays_longest() -> None:
    blocks = BlockManager(4)
    ids = list(range(3 * SIZE + 1))
    blocks.release(filled(blocks, ids))
    filled(blocks, list(range(500, 500 + 2 * SIZE)))
    assert blocks.match(ids).length == 2 * SIZE


def test_rooms_are_given_up_when_space_is_short() -> None:
    blocks = BlockManager(4)
    first = BlockTable(want=4 * SIZE)
    assert blocks.extend(first, 1) == []
    assert (len(first.room), blocks.free) == (3, 3)
    second = BlockTable()
    assert blocks.extend(second, 3 * SIZE) == []
    assert len(first.room) == 0
    first.length = SIZE
    assert blocks.extend(first, 1) is None


def test_a_hash_depends_on_all_before() -> None:
    a, b = digests([1] * 32), digests([2] + [1] * 31)
    assert a[0] != b[0] and a[1] != b[1]
    assert digests([1] * 40, a[:1]) == a[1:]


def test_known_blocks_cannot_be_cut() -> None:
    blocks = BlockManager(4)
    table = filled(blocks, list(range(20)))
    blocks.cut(table, 17)
    with pytest.raises(AssertionError):
        blocks.cut(table, 15)


def test_what_texts_leave_behind_is_bounded() -> None:
    blocks, written = BlockManager(10_000, most_idle=20), set[int]()
    for text in range(300):
        tables = [filled(blocks, [1000 * text + n, *range(SIZE * (1 + (text * 7 + n) % 12))]) for n in range(3)]
        for table in tables:
            written.update(table.blocks)
            blocks.release(table)
        assert len(blocks._idle) <= 20 and blocks.free == 10_000
    assert len(written) < 120  # three texts of up to 13 blocks at once, what is idle, and gaps
    assert blocks.match([1000 * 299 + 2, *range(SIZE)]).length == SIZE  # the last is known
