"""The scheduler alone: what a choice costs beside many waiting jobs, and a synthetic day in simulated time; figures last.

python benchmarks/scheduler.py [--jobs 1000000] [--users 1000] [--policies fair,fifo,priority,shortest] [--max-gap-ms 250]
waiting: jobs of many users, models and keys that all want turns; microseconds to choose a quantum and charge it, with 1 and
with 64 jobs of a quantum at most, and how many it had: beside few there are few that can share it. Below it what it takes to
read one number of as many waiting jobs, drawn at random: where many wait, none is in the processor's caches.
day: chats, images and embeddings of a day, most at noon; the device is busy nine tenths of it.
"""

import argparse
import math
import random
import time
from statistics import fmean, median
from typing import NamedTuple

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.telemetry import simulator
from mmgen.engine.telemetry.simulator import Arrival, SimulatedJob, synthetic_day
from mmgen.plugins import registry

COSTS = {"text": (9.0, 1.0), "denoise": (12.0, 6.0), "decode": (4.0, 3.0), "encode": (10.0, 2.0)}
"""Runner -> milliseconds of a quantum, and of every job in it."""
SHARE = 0.9
SIZES = (1000, 10_000, 100_000)


def cost(runner: str, key: str, size: int) -> float:
    base, each = COSTS[runner]
    return base + each * size


class Waited(NamedTuple):
    """Of a quantum."""

    microseconds: float  # median
    jobs: float  # mean
    memory: float  # median microseconds to read as many jobs


def waiting(policy: str, jobs: int, users: int, max_batch: int, turns: int = 2000) -> Waited:
    """Quanta with that many jobs waiting."""
    rng, made = random.Random(0), registry().policies.get(policy)
    scheduler, held = GapLimiter(made(max_batch=max_batch), max_gap_ms=250.0), []
    for number in range(jobs):
        runner = rng.choice(list(COSTS))
        priority = rng.choice(["interactive", "normal", "batch"])
        deadline = time.monotonic() + rng.uniform(10, 100) if rng.random() < 0.1 else None
        job = SimulatedJob(runner, None, Request("", f"user{number % users}", priority, deadline), seed=0)
        job.key, job.streams, job.expected_ms = rng.randint(0, 9), False, rng.uniform(1, 1000)
        scheduler.add(job)
        held.append(job)
    laps, sizes = [], []
    for _ in range(10 * users + turns):  # until shares are even; only then it counts
        began = time.perf_counter()
        batch = scheduler.next()
        scheduler.charge(batch, cost(batch[0].runner, "", len(batch)))
        laps.append(time.perf_counter() - began)
        sizes.append(len(batch))
    size = fmean(sizes[-turns:])
    return Waited(1e6 * median(laps[-turns:]), size, reading([rng.sample(held, round(size)) for _ in range(500)]))


def reading(batches: list[list[Job]]) -> float:
    """Median microseconds to read one number of every job of a batch."""
    laps = []
    for batch in batches:
        began = time.perf_counter()
        [job.units for job in batch]
        laps.append(time.perf_counter() - began)
    return 1e6 * median(laps)


def seconds_of(jobs: int) -> float:
    """A day's length at which the work of so many jobs, alone in their quanta, would take four times as long."""
    sample = list(synthetic_day(2000, 100, seed=1))
    each = sum(cost(one.runner, one.key, 1) * one.quanta for one in sample) / len(sample) / 1000
    return jobs * each / 4 / SHARE


def day(policy: str, jobs: list[Arrival], max_gap_ms: float) -> None:
    began = time.perf_counter()
    out = simulator.play(jobs, cost, registry().policies.get(policy), max_gap_ms, noise=0.1)
    print(f"\n{policy}, {len(jobs):,} jobs in {time.perf_counter() - began:.0f} s of real time")
    for name, text in out.rows():
        print(f"  {name:<24}{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--policies", default="fair,fifo,priority,shortest")
    parser.add_argument("--max-gap-ms", type=float, default=250.0)
    args = parser.parse_args()
    jobs = list(synthetic_day(args.jobs, args.users, seconds=seconds_of(args.jobs)))
    for policy in args.policies.split(","):
        day(policy, jobs, args.max_gap_ms)
    print("\nmicroseconds a quantum, by jobs waiting" + "".join(f"{size:>20,}" for size in SIZES))
    for policy in args.policies.split(","):
        for most in (1, 64):
            tell(policy, most, [waiting(policy, size, args.users, most) for size in SIZES])


def tell(policy: str, most: int, found: list[Waited]) -> None:
    figures = [f"{one.microseconds:.1f} for {one.jobs:.0f} jobs" for one in found]
    print(f"  {policy:<12}{most:>3} jobs at most{'':>10}" + "".join(f"{text:>20}" for text in figures))
    if policy != "fair":
        return
    print(f"    {'of it, to read as many jobs':<35}" + "".join(f"{one.memory:>20.1f}" for one in found))
    first, last = found[0], found[-1]
    growth, logarithm = last.microseconds / first.microseconds, math.log(SIZES[-1]) / math.log(SIZES[0])
    print(f"    100 times the jobs: {growth:.2f} times the time; a logarithm: {logarithm:.2f}")
    print(f"    by the job of a quantum: {growth * first.jobs / last.jobs:.2f} times")


if __name__ == "__main__":
    main()
