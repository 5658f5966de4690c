"""Several jobs as one stream: every event once, in each job's order, and the end of each."""

from collections.abc import Sequence

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job
from mmgen.errors import BadRequest


class Counts:
    """Emits 1, 2, ... and ends at its payload; a payload of 0 fails."""

    def key(self, job: Job) -> int:
        return 0

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.payload == 0:
                job.fail(BadRequest("nothing to count"))
                continue
            job.state = (job.state or 0) + 1
            job.emit(job.state)
            if job.state == job.payload:
                job.finish(f"counted to {job.payload}")

    def release(self, job: Job) -> None:
        pass


def test_every_event_and_every_end() -> None:
    with Engine({"counts": Counts()}) as engine:
        following = EventMerge()
        for goal in (3, 1, 5):
            following.add(goal, engine.submit(Job("counts", goal)))
        seen: dict[int, list[object]] = {3: [], 1: [], 5: [], 2: []}
        for tag, event in following:
            seen[tag].append(event.value if isinstance(event, JobEnded) else event)
            if tag == 1 and isinstance(event, JobEnded):
                following.add(2, engine.submit(Job("counts", 2)))  # while it is read
    assert seen == {goal: [*range(1, goal + 1), f"counted to {goal}"] for goal in (3, 1, 5, 2)}


def test_jobs_that_ended_before_they_are_followed() -> None:
    with Engine({"counts": Counts()}) as engine:
        handle = engine.submit(Job("counts", 2))
        handle.result(10)
        following = EventMerge()
        following.add("late", handle)
        assert [event for _, event in following][:2] == [1, 2]


def test_a_failure_is_raised() -> None:
    with Engine({"counts": Counts()}) as engine:
        following = EventMerge()
        following.add("bad", engine.submit(Job("counts", 0)))
        with pytest.raises(BadRequest, match="nothing to count"):
            list(following)
    assert list(EventMerge()) == []
