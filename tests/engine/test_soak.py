"""Hours under fire: MMGEN_SOAK_S seconds (7200 for the two hours; two minutes unless it is set)."""

import gc
import logging
import os
import random
import time

import psutil
import pytest
from fault_storm import StormyAnswers, StormyDrawing, burst, chatting

from mmgen.engine.engine import Engine
from mmgen.engine.memory.ledger import Ledger

SECONDS = float(os.environ.get("MMGEN_SOAK_S", "120"))
GROWTH = 20_000_000  # bytes: what the process may gain after its first tenth


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_memory_is_bounded_and_the_engine_serves_on() -> None:
    logging.disable(logging.CRITICAL)
    try:
        runner, answers, rng = StormyDrawing(0), StormyAnswers(1), random.Random(0)
        ended = said = early = 0
        began = time.monotonic()
        runners = {"stormy": runner, "text": answers}
        with Engine(runners, ledger=Ledger(100), max_gap_ms=0.01) as engine, chatting(engine) as chats:
            while (spent := time.monotonic() - began) < SECONDS:
                ended += sum(burst(engine, rng, 2000).values())
                said += len(chats)
                chats.clear()
                if not early and spent > SECONDS / 10:
                    early = memory()
            growth = memory() - early
        print(f"{ended + said:,} jobs in {SECONDS:g} s, the process gained {growth / 1e6:.1f} MB after its first tenth")
        assert early and growth < GROWTH
        assert runner.ends == ended and not runner.held and not answers.held and engine.ledger.held == 0
        assert not engine._loop.active and not len(engine.scheduler)
        assert not engine.metrics._last_events and not engine._loop.forecast._left
    finally:
        logging.disable(logging.NOTSET)
