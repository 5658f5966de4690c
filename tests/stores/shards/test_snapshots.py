"""A set of shards is there whole or not at all; what a killed builder left is removed, what a living one makes is not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmgen.stores.shards import snapshots
from mmgen.stores.shards.snapshots import BUILDING, LOCK, MANIFEST, Snapshot, Stamp


def made(root: Path, generation: int, token: int = 0) -> Path:
    stamp = (generation, token)

    def fill(folder: Path) -> Snapshot:
        (folder / "part").write_text(str(generation))
        return Snapshot(stamp, 10 * generation, 4, 1)

    return snapshots.write(root, fill)


def known(stamp: Stamp) -> bool:
    return stamp[1] == 0


def test_the_newest_of_this_store(tmp_path: Path) -> None:
    assert list(snapshots.newest(tmp_path / "none", known)) == []
    first, second, other = made(tmp_path, 2), made(tmp_path, 10), made(tmp_path, 11, token=7)
    assert [told.stamp for _, told in snapshots.newest(tmp_path, known)] == [(10, 0), (2, 0)]
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / MANIFEST).write_text("{")
    assert next(snapshots.newest(tmp_path, known)) == (second, Snapshot((10, 0), 100, 4, 1))
    snapshots.prune(tmp_path, first, known)
    assert set(tmp_path.iterdir()) == {first, second} and not other.exists(), "newer ones stay"
    snapshots.prune(tmp_path, second, known)
    assert list(tmp_path.iterdir()) == [second]
    snapshots.discard(tmp_path)
    assert not tmp_path.exists()


def test_two_builders_of_a_commit_leave_the_later_ones(tmp_path: Path) -> None:
    """Whoever prunes first, one stays."""
    for pruning in ((0, 1), (1, 0)):
        both = [made(tmp_path, 3), made(tmp_path, 3)]
        os.utime(both[0] / MANIFEST, (1, 1))
        for number in pruning:
            snapshots.prune(tmp_path, both[number], known)
        assert list(tmp_path.iterdir()) == [both[1]]
        snapshots.discard(tmp_path)


def test_a_builder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        snapshots.write(tmp_path, lambda folder: Snapshot((1, 0), 1 // 0, 4, 1))
    assert list(tmp_path.iterdir()) == []


CHILD = """
import sys, time
from pathlib import Path
from mmgen.stores.shards import snapshots

def fill(folder):
    (folder / "half").write_text("x" * 1000)
    print(folder.name, flush=True)
    time.sleep(60)

snapshots.write(Path(sys.argv[1]), fill)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_what_a_killed_builder_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder = tmp_path / child.stdout.readline().strip()
        old = time.time() - 2 * snapshots.ABANDONED_AFTER
        os.utime(folder, (old, old))
        made(tmp_path, 4)
        assert (folder / "half").is_file(), "its builder lives, however long it takes"
        assert [told.stamp for _, told in snapshots.newest(tmp_path, known)] == [(4, 0)]
        child.kill()
        child.wait()
    os.utime(folder, (old, old))
    made(tmp_path, 6)
    assert not folder.exists()


def test_a_folder_without_a_lock_is_left_for_an_hour(tmp_path: Path) -> None:
    young, old = tmp_path / f"{BUILDING}1-a", tmp_path / f"{BUILDING}1-b"
    for folder in (young, old):
        folder.mkdir()
    past = time.time() - snapshots.ABANDONED_AFTER - 1
    os.utime(old, (past, past))
    made(tmp_path, 1)
    assert young.is_dir() and not old.exists() and not (young / LOCK).exists()
