"""Work that fails in every way, in bursts from several threads."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmgen.engine.engine import Engine
from mmgen.engine.job import Handle, Job, Request
from mmgen.errors import BadRequest

WAIT = 600.0


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


class Stormy:
    """Five steps of a hundred raise, anything; a few jobs fail alone, and a few releases raise.

    A job's payload is (quanta, key, bytes). Counts who was released, and that nobody is twice.
    """

    ERRORS = (
        ValueError, MemoryError, OutOfMemoryError, KeyboardInterrupt, SystemExit, BadRequest, BaseException, StopIteration,
        AssertionError, RecursionError, TimeoutError, GeneratorExit,
    )  # fmt: skip
    kind = "kv"

    def __init__(self, seed: int) -> None:
        self.rng, self.ends, self.held = random.Random(seed), 0, set[Job]()

    def key(self, job: Job) -> Any:
        return job.payload[1]

    def reserve(self, job: Job) -> int:
        self.held.add(job)
        return int(job.payload[2])

    def step(self, jobs: list[Job]) -> None:
        if self.rng.random() < 0.05:
            raise self.rng.choice(self.ERRORS)("of the storm")
        for job in jobs:
            assert job.ended is None
            job.state = (job.state or 0) + 1
            if job.state == job.payload[0]:
                job.finish(job.state)
            elif self.rng.random() < 0.01:
                job.fail(self.rng.choice(self.ERRORS)("of its own"))

    def release(self, job: Job) -> None:
        self.held.remove(job)  # a KeyError is logged by the engine, and the count is short
        self.ends += 1
        if self.rng.random() < 0.01:
            raise self.rng.choice(self.ERRORS)("at the end")


class StormyDrawing(Stormy):
    """Pauses in the middle of its steps, which is where it may raise."""

    pause: Callable[[], None]

    def pause_with(self, pause: Callable[[], None]) -> None:
        self.pause = pause

    def step(self, jobs: list[Job]) -> None:
        alive = [job for job in jobs if job.ended is None]
        self.pause()
        assert all(job in self.held for job in jobs), "nobody is released in the middle"
        super().step([job for job in alive if job.ended is None])


class StormyAnswers(Stormy):
    streams = True


@contextmanager
def chatting(engine: Engine) -> Iterator[list[BaseException | None]]:
    """Answers of StormyAnswers one after another, three at a time, as long as the context lasts: how they ended."""
    stop, ended, rng = threading.Event(), list[BaseException | None](), random.Random(3)

    def chat() -> None:
        while not stop.is_set():
            handles = [engine.submit(Job("text", (rng.randint(1, 9), 0, 1))) for _ in range(3)]
            ended.extend(handle.job.future.exception(WAIT) for handle in handles)

    thread = threading.Thread(target=chat)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def burst(engine: Engine, rng: random.Random, number: int) -> Counter[str]:
    """So many jobs from four threads, some cancelled, some late; returns how they ended, each exactly once."""
    shares: list[list[Handle]] = [[], [], [], []]
    ends, lock = Counter[int](), threading.Lock()

    def ended(future: Any) -> None:
        with lock:
            ends[id(future)] += 1

    def work(handles: list[Handle], own: random.Random) -> None:
        for _ in range(number // 4):
            timeout = 0.001 if own.random() < 0.02 else None
            request = Request.new(f"u{own.randint(0, 9)}", own.choice(["interactive", "normal", "batch"]), timeout)
            payload = own.randint(1, 4), own.randint(0, 3), own.randint(0, 40)
            handles.append(engine.submit(Job("stormy", payload, request)))
            handles[-1].job.future.add_done_callback(ended)
            if own.random() < 0.05:
                handles[-1].cancel()

    threads = [threading.Thread(target=work, args=(handles, random.Random(rng.random()))) for handles in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handles = [handle for share in shares for handle in share]
    for handle in handles:
        handle.job.future.exception(WAIT)
    engine.call(lambda: None)  # callbacks of the last job have been called by then
    assert len(ends) == len(handles) and set(ends.values()) == {1}
    return Counter(handle.status for handle in handles)
