"""The same request with a seed gives the same alone, in any mix, under preemption, eviction and reload."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from workloads import KINDS, Ask, Mix, runtime, same

from mmgen.engine.job import Job
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.errors import Busy

asks = st.builds(
    Ask,
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 5),
    user=st.sampled_from(["ann", "bob", "eve"]),
    priority=st.sampled_from(["interactive", "normal", "batch"]),
)


@pytest.fixture(scope="module")
def mix(
    tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_draft: Path, stable_diffusion: Path,
    diffusion_transformer: Path, tiny_encoder: Path, tiny_reader: Path,
) -> Iterator[Mix]:  # fmt: skip
    """With keys and values for one longest text alone, so that texts push each other out."""
    home = tmp_path_factory.mktemp("mix")
    models = {"text": tiny_llama, "denoiser": stable_diffusion, "encoder": tiny_encoder, "reader": tiny_reader}
    with runtime(home, None, **models) as rt:
        made = Mix(rt, tiny_draft, diffusion_transformer)
        for client in (made.text, made.drafted):
            places = client.text_runner.places
            places.count = 24
            places.away()
            places.back()
        yield made


class Known(dict[Ask, Any]):
    """What requests gave alone."""

    def __repr__(self) -> str:  # a failing example tells it
        return f"{len(self)} results"


@pytest.fixture(scope="module")
def known() -> Known:
    return Known()


def expected(mix: Mix, known: Known, ask: Ask) -> Any:
    plain = Ask(ask.kind, ask.seed)
    if plain not in known:
        known[plain] = mix.alone(plain)
    return known[plain]


def check(mix: Mix, known: Known, wanted: list[Ask], sleeper: random.Random) -> None:
    """Between the mixes models go and come back, and some go while work is waiting."""
    before = [expected(mix, known, ask) for ask in wanted]
    for one in mix.rt.engine.models:
        if sleeper.random() < 0.5:
            send_away(mix, one.name)
    for ask, alone, together in zip(wanted, before, mix.together(wanted), strict=True):
        assert same(ask.kind, alone, together), f"{ask} gave something else in company"


def send_away(mix: Mix, name: str) -> None:
    for _ in range(200):
        try:
            mix.rt.sleep(name)
            break
        except Busy:  # its last job is not quite over
            time.sleep(0.005)


@pytest.fixture(autouse=True, params=[30.0, 0.05], ids=["", "gap"])
def max_gap_ms(mix: Mix, request: pytest.FixtureRequest) -> None:
    """As it comes; and so short that texts are written in the middle of all steps that can pause."""
    mix.rt.engine.scheduler.max_gap_ms = request.param


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_company_of_its_own_and_after_a_reload(mix: Mix, known: Known, kind: str) -> None:
    check(mix, known, [Ask(kind, seed) for seed in (0, 1, 2)], random.Random(0))
    for one in mix.rt.engine.models:
        send_away(mix, one.name)
    assert same(kind, known[Ask(kind, 0)], mix.alone(Ask(kind, 0))), "after all models were away"


MIXES = settings(
    deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@settings(MIXES, max_examples=6)
@given(wanted=st.lists(asks, min_size=4, max_size=10), seed=st.integers(0, 100))
def test_any_mix(mix: Mix, known: Known, wanted: list[Ask], seed: int) -> None:
    check(mix, known, wanted, random.Random(seed))


def test_texts_were_pushed_out_on_the_way(mix: Mix, known: Known) -> None:
    """Otherwise the mixes would say nothing about it."""
    check(mix, known, [Ask(kind, seed) for seed in range(12) for kind in ("sample", "greedy")], random.Random(1))
    assert mix.text.text_runner.places.preempted > 0


def test_texts_were_written_in_the_middle_of_steps(mix: Mix, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor would they say anything about that."""
    turns, inside = mix.rt.engine.scheduler, list[str]()

    def due(jobs: list[Job], spent: float, part: float) -> list[Job]:
        found = GapLimiter.due(turns, jobs, spent, part)
        inside.extend([jobs[0].runner.partition(":")[0]] * bool(found))
        return found

    monkeypatch.setattr(turns, "due", due)
    monkeypatch.setattr(turns, "max_gap_ms", 0.05)
    for drawn in ("ddpm", "whole"):
        check(mix, known, [Ask(kind, seed) for seed in range(6) for kind in ("sample", drawn)], random.Random(1))
    assert set(inside) == {"denoise", "pipeline"} and len(inside) > 100


@pytest.mark.slow
@settings(MIXES, max_examples=int(os.environ.get("MMGEN_MIXES", "150")))
@given(wanted=st.lists(asks, min_size=1, max_size=24), seed=st.integers(0, 10**6))
def test_many_mixes(mix: Mix, known: Known, wanted: list[Ask], seed: int) -> None:
    check(mix, known, wanted, random.Random(seed))


@pytest.mark.slow
def test_under_a_limit_that_not_all_models_fit_into(
    tmp_path: Path, tiny_llama: Path, tiny_draft: Path, stable_diffusion: Path, diffusion_transformer: Path, tiny_encoder: Path,
    tiny_reader: Path, mix: Mix, known: Known,
) -> None:  # fmt: skip
    """Models push each other out while requests come."""
    models = {"text": tiny_llama, "denoiser": stable_diffusion, "encoder": tiny_encoder, "reader": tiny_reader}
    most = sum(one.nbytes for one in mix.rt.engine.models)
    wanted = [Ask(kind, seed) for seed in range(3) for kind in KINDS]
    before = [expected(mix, known, ask) for ask in wanted]
    with runtime(tmp_path, int(0.75 * most), **models) as rt:
        for ask, alone, together in zip(
            wanted, before, Mix(rt, tiny_draft, diffusion_transformer).together(wanted), strict=True
        ):
            assert same(ask.kind, alone, together)
        assert rt.engine.models.evictions > 0
