"""Who gets blocks, who gives them up, and who waits."""

from pathlib import Path

import checkpoints
import pytest
from text_requests import text_request

from mmgen.engine.job import Job
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.paged.block_manager import SIZE, digests
from mmgen.runners.generation import Vocabulary
from mmgen.runners.kv_cache_manager import KVCacheManager
from mmgen.runners.sampled_sequences import SampledSequences


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder: Path = tmp_path_factory.mktemp("llama")
    checkpoints.saved(checkpoints.llama(), folder)
    return language_model.load(folder)


@pytest.fixture
def places(lm: LanguageModel) -> KVCacheManager:
    """Eight blocks."""
    return KVCacheManager(lm, None, 8 * SIZE * lm.kv_bytes_per_token)


def begin(places: KVCacheManager, tokens: int, first: int) -> Job:
    """A job whose prompt is like no other's."""
    job = Job("text", text_request([first] * tokens, 16))
    job.state = places.active[job] = SampledSequences(job, Vocabulary(str, frozenset()), places)
    return job


def fill(places: KVCacheManager, job: Job) -> bool:
    """Lets it in and gives it its whole prompt's blocks."""
    branch = job.state.branches[0]
    if branch.table is None and not places.open(job, branch, set()):
        return False
    if not places.extend(job, places.pool, branch.table, branch.unread):
        return False
    branch.table.length = len(branch.ids)
    return True


def held(job: Job) -> int:
    table = job.state.branches[0].table
    return 0 if table is None else len(table.blocks)


def test_an_older_job_takes_the_youngest_ones_blocks(places: KVCacheManager) -> None:
    old, middle, young = (begin(places, SIZE, first) for first in range(3))
    assert all(fill(places, job) for job in (old, middle, young))
    assert places.extend(old, places.pool, old.state.branches[0].table, 6 * SIZE)
    assert [held(job) for job in (old, middle, young)] == [7, 1, 0]
    assert places.preempted == 1


def test_a_younger_job_takes_nothing_and_waits(places: KVCacheManager) -> None:
    old, young = begin(places, 5 * SIZE, 1), begin(places, SIZE, 2)
    assert fill(places, old) and fill(places, young)
    assert not places.extend(young, places.pool, young.state.branches[0].table, 3 * SIZE)
    assert [held(old), held(young), places.waiting] == [5, 1, {young}]
    places.leave(old)
    assert places.extend(young, places.pool, young.state.branches[0].table, 3 * SIZE)
    assert not places.waiting


def test_a_job_is_not_let_in_where_it_would_soon_be_preempted(places: KVCacheManager) -> None:
    old, young = begin(places, 3 * SIZE, 1), begin(places, 5 * SIZE, 2)
    assert fill(places, old)
    assert not fill(places, young)  # it would fit, but the old one could not grow
    small = begin(places, SIZE, 3)
    assert not fill(places, small), "nobody overtakes who waits"
    places.leave(old)
    assert fill(places, young)


def test_blocks_that_another_is_reading_are_waited_for(places: KVCacheManager) -> None:
    one, other = begin(places, SIZE + 1, 1), begin(places, SIZE + 1, 1)
    assert fill(places, one)
    coming = set(digests(one.payload.prompt))
    assert not places.open(other, other.state.branches[0], coming)
    assert other not in places.waiting
    places.pool.keep(one.state.branches[0].table, one.payload.prompt)
    assert places.open(other, other.state.branches[0], coming)
    assert other.state.cached == SIZE
    for job in (one, other):
        places.leave(job)
    assert places.pool.free == 8
