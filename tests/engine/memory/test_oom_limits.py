import time

import pytest

from mmgen.engine.job import Job
from mmgen.engine.memory.oom_limits import REMEMBERED, OOMLimits


def batch(size: int, key: str = "64") -> list[Job]:
    jobs = [Job("draw", None) for _ in range(size)]
    for job in jobs:
        job.key = key
    return jobs


def test_a_batch_is_cut_to_what_fitted_last_for_its_key_alone() -> None:
    limits, jobs = OOMLimits(), batch(8)
    assert limits.cut(jobs) == jobs
    limits.note(jobs, 3)
    assert limits.cut(jobs) == jobs[:3] and limits.cut(jobs[:2]) == jobs[:2]
    other = batch(8, "96")
    assert limits.cut(other) == other


def test_what_fitted_whole_sets_no_limit_and_one_job_is_always_tried() -> None:
    limits, jobs = OOMLimits(), batch(4)
    limits.note(jobs, 4)
    assert limits.cut(jobs) == jobs
    limits.note(jobs, 0)
    assert limits.cut(jobs) == jobs[:1]


def test_a_larger_batch_is_tried_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, jobs = OOMLimits(), batch(8)
    limits.note(jobs, 3)
    later = time.monotonic() + REMEMBERED + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert limits.cut(jobs) == jobs and limits.cut(jobs) == jobs
