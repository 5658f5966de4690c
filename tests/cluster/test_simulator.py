import random

import pytest

from mmgen.cluster.replica_state import ModelInfo
from mmgen.cluster.router import ClusterRouter
from mmgen.cluster.simulator import ClusterOutcome, ClusterPlay, Outage, placed
from mmgen.engine.telemetry.simulator import Arrival, synthetic_day

MODELS = {"text": ModelInfo(6, 1.0), "denoise": ModelInfo(6, 1.0), "decode": ModelInfo(1, 1.0), "encode": ModelInfo(1, 1.0)}


def cost(runner: str, key: str, size: int) -> float:
    return 8.0 + 2.0 * size


def play(coming: list[Arrival], engines: int, *outages: Outage, memory: int | None = None) -> ClusterOutcome:
    router = ClusterRouter(MODELS, rng=random.Random(0))
    for state in placed([f"e{number}" for number in range(engines)], MODELS, memory):
        router.join(state)
    return ClusterPlay(router, cost, lambda one: one.runner).run(coming, outages)


def test_one_job_waits_for_its_model_and_takes_its_quanta() -> None:
    out = play([Arrival(5.0, "text", "t", 7)], 1)
    assert (out.jobs, out.moves, out.waits) == (1, 1, [pytest.approx(1.0)])
    assert out.busy == pytest.approx(0.07) and out.end == pytest.approx(6.07)


def test_more_engines_wait_less() -> None:
    jobs = list(synthetic_day(200, 20, seed=3, seconds=6.0))
    few, many = play(jobs, 1), play(jobs, 4)
    assert few.jobs == many.jobs == 200 and sum(few.shares.values()) == pytest.approx(few.busy)
    assert many.quantiles()[1] < few.quantiles()[1] / 2 and many.end < few.end


def test_every_model_gets_its_turn_where_not_all_fit() -> None:
    out = play(list(synthetic_day(300, 20, seed=3, seconds=20.0)), 1, memory=7)
    assert out.jobs == 300 and out.moves > 4


def test_what_a_dead_rack_held_is_played_again() -> None:
    jobs = list(synthetic_day(200, 20, seed=3, seconds=6.0))
    out = play(jobs, 4, Outage(3.0, frozenset({"e0", "e1"}), 3.0))
    assert out.jobs == 200 and out.again > 0 and out.lost >= 0 and out.heaviest == "user1"
