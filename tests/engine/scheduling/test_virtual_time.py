import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.scheduling.virtual_time import Flow, VirtualClock


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_least_is_what_a_look_at_all_of_them_finds(seed: int) -> None:
    rng, shares = random.Random(seed), VirtualClock(Flow, {"a": 3.0, "b": 0.5})
    for _ in range(300):
        flow = shares.flows.get(name := rng.choice("abcdef"))
        if flow is None or not flow.jobs or rng.random() < 0.3:
            shares.join(name)
        elif rng.random() < 0.3:
            flow.jobs -= 1
        else:
            flow.virtual += rng.choice([1.0, rng.uniform(0, 5)]) / flow.weight
        busy = [flow for flow in shares.flows.values() if flow.jobs]
        least = shares.least()
        if least is None:
            assert not busy
            continue
        assert (least.virtual, -least.weight) == min((flow.virtual, -flow.weight) for flow in busy)
        assert shares.clock == least.virtual
        lead = rng.uniform(0, 5)
        for flow in busy:
            sure = flow.virtual - flow.seen <= lead / flow.weight
            close = flow.virtual - least.virtual <= lead / flow.weight
            assert close or not sure, "what was seen last never lets in too many"
            assert shares.close_to_least(flow, lead) is close


def test_of_equals_the_heavier_is_first_though_it_came_later() -> None:
    shares = VirtualClock(Flow, {"heavy": 8.0})
    light = shares.join("light")
    assert shares.least() is light
    heavy = shares.join("heavy")
    assert heavy.virtual == light.virtual and shares.least() is heavy


def test_who_comes_back_from_idleness_starts_at_the_clock() -> None:
    shares = VirtualClock(Flow, {})
    busy, idle = shares.join("busy"), shares.join("idle")
    idle.jobs = 0
    busy.virtual = 100.0
    assert shares.least() is busy
    assert shares.join("idle").virtual == pytest.approx(100.0)
