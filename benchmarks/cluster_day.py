"""The cluster's router: what a decision costs, and a synthetic day over N engines in simulated time; figures last.

python benchmarks/cluster_day.py [--jobs 1000000] [--engines 1,4,16,64] [--users 1000] [--memory 12]
    [--plot docs/cluster.png] [--json FILE]
router: 64 engines and 10,000 waiting requests; microseconds from "one is done" to "the next one goes there".
day: chats, images and embeddings of a day, most at noon; its length is such that the engines are busy for half of it.
Each has room for three of four models, a single one for all. With four engines or more a quarter of them
(a rack) dies at noon, for a minute.
"""

import argparse
import json
import random
import time
from pathlib import Path
from statistics import median

from mmgen.cluster.prefixes import BLOCK, chain
from mmgen.cluster.replica_state import ModelInfo
from mmgen.cluster.router import ClusterRouter
from mmgen.cluster.simulator import ClusterOutcome, ClusterPlay, Outage, placed
from mmgen.cluster.work import ClusterRequest
from mmgen.engine.telemetry.simulator import Arrival, synthetic_day

COSTS = {"text": (9.0, 1.0), "denoise": (12.0, 6.0), "decode": (4.0, 3.0), "encode": (10.0, 2.0)}
"""Runner -> milliseconds of a quantum, and of every job in it."""
MODELS = {"chat": ModelInfo(6, 4.0), "image-64": ModelInfo(3, 2.0), "image-96": ModelInfo(3, 2.0), "encoder": ModelInfo(1, 0.5)}
MEMORY = 12
BATCHED = 1.8
"""Times as fast as alone: what a device does on average while jobs share quanta."""
LOAD = 0.5
DOWN_S = 60.0


def cost(runner: str, key: str, size: int) -> float:
    base, each = COSTS[runner]
    return base + each * size


def model_of(one: Arrival) -> str:
    return {"text": "chat", "encode": "encoder"}.get(one.runner, f"image-{one.key}")


def router_of(engines: int, window_s: float, memory: int = MEMORY) -> ClusterRouter:
    router = ClusterRouter(MODELS, window_s, rng=random.Random(0))
    for state in placed([f"engine{number}" for number in range(engines)], MODELS, memory if engines > 1 else None):
        router.join(state)
    return router


def decisions(engines: int = 64, waiting: int = 10_000, turns: int = 5000) -> tuple[float, float]:
    """Median microseconds of a decision and of the whole turn, the report of what is done before it included."""
    rng, router = random.Random(0), router_of(engines, 4.0)
    prompts = [chain("".join(rng.choices("abcdef", k=rng.randint(0, 12) * BLOCK))) for _ in range(500)]

    def submit(number: int) -> None:
        user, model = f"user{min(1000, int(rng.paretovariate(1.2)))}", rng.choice(list(MODELS))
        router.submit(ClusterRequest(str(number), user, model, rng.uniform(1, 40), rng.choice(prompts)))

    for number in range(waiting):
        submit(number)
    sent = [one.request for one in router.ready()]
    alone, whole, seen = [], [], router.looked_at
    while len(router.waiting) < waiting:
        submit(router.decisions + 10 * waiting + len(router.waiting))
    before = router.decisions
    for turn in range(turns):
        request = sent.pop(rng.randrange(len(sent)))
        began = time.perf_counter()
        router.finished(request, 50.0 * request.units)
        told = time.perf_counter()
        decided = router.decide()
        ended = time.perf_counter()
        if decided is None:
            continue
        alone.append(ended - told)
        whole.append(ended - began)
        sent.append(decided.request)
        sent += [one.request for one in router.ready()]
        while len(router.waiting) < waiting:
            submit(20 * waiting + turn * 100 + len(router.waiting))
    print(f"  {(router.looked_at - seen) / (router.decisions - before):.1f} replicas and queues seen a decision")
    return 1e6 * median(alone), 1e6 * median(whole)


def seconds_of(jobs: int, engines: int) -> float:
    """The day's length."""
    sample = list(synthetic_day(2000, 100, seed=1))
    each = sum(cost(one.runner, one.key, 1) * one.quanta for one in sample) / len(sample) / 1000
    return jobs * each / BATCHED / LOAD / engines


def day(jobs: int, engines: int, users: int, window_s: float, rack: bool, memory: int) -> tuple[ClusterOutcome, float]:
    length = seconds_of(jobs, engines)
    dead = frozenset(f"engine{number}" for number in range(engines // 4))
    outages = [Outage(length / 2, dead, DOWN_S)] if rack else []
    play = ClusterPlay(router_of(engines, window_s, memory), cost, model_of, max_gap_ms=250.0)
    return play.run(synthetic_day(jobs, users, seconds=length), outages), length


def tell(out: ClusterOutcome, engines: int, length: float, took: float) -> dict[str, float]:
    middle, late, last = out.quantiles()
    others = out.quantiles(without=out.heaviest)
    row = {
        "engines": engines, "jobs": out.jobs, "hours": length / 3600, "wait_50": middle, "wait_99": late, "wait_999": last,
        "others_50": others[0], "others_99": others[1], "others_999": others[2],
        "heaviest": out.shares[out.heaviest] / sum(out.shares.values()), "moves": out.moves, "again": out.again,
        "lost_s": out.lost, "busy": out.busy / engines / out.end,
        "most_waiting": out.most_waiting, "routing_us": out.routing_us, "real_s": took,
    }  # fmt: skip
    print("  " + "  ".join(f"{name} {value:,.3f}".rstrip("0").rstrip(".") for name, value in row.items()), flush=True)
    return row


def plot(path: Path, series: dict[int, ClusterOutcome], lengths: dict[int, float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    for engines, out in series.items():
        ordered = sorted(out.waits)
        places = [int(len(ordered) * (1 - 10 ** (-number / 20))) for number in range(81)]
        tail = [(10 ** (-number / 20), ordered[min(place, len(ordered) - 1)]) for number, place in enumerate(places)]
        left.plot([max(1e-3, wait) for _, wait in tail], [share for share, _ in tail], label=f"{engines} engines")
        bins: dict[int, list[float]] = {}
        for at, wait in zip(out.at, out.waits, strict=True):
            bins.setdefault(int(96 * at / lengths[engines]), []).append(wait)
        late = {place: sorted(waits)[int(0.99 * len(waits))] for place, waits in sorted(bins.items()) if place < 96}
        right.plot([24 * place / 96 for place in late], [max(1e-3, wait) for wait in late.values()], label=f"{engines} engines")
    left.set(xscale="log", yscale="log", xlabel="seconds until the first step", ylabel="share of requests that wait longer")
    right.set(yscale="log", xlabel="hour of the day", ylabel="wait at 99 %, in seconds")
    left.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--engines", default="1,4,16,64")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--window", type=float, default=4.0)
    parser.add_argument("--memory", type=int, default=MEMORY, help="of an engine; the models take 13 together")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-rack", action="store_true", help="no outage")
    args = parser.parse_args()
    decision, turn = decisions()
    print(
        f"router, 64 engines, 10,000 waiting: {decision:.1f} us a decision, {turn:.1f} us with the report before it", flush=True
    )
    rows, series, lengths = [], {}, {}
    for engines in [int(one) for one in args.engines.split(",")] if args.jobs else ():
        began = time.perf_counter()
        out, length = day(args.jobs, engines, args.users, args.window, engines >= 4 and not args.no_rack, args.memory)
        rows.append(tell(out, engines, length, time.perf_counter() - began))
        series[engines], lengths[engines] = out, length
        if args.plot:  # after each, as a million jobs take minutes
            plot(args.plot, series, lengths)
        if args.json:
            args.json.write_text(json.dumps({"decision_us": decision, "turn_us": turn, "days": rows}, indent=1))


if __name__ == "__main__":
    main()
