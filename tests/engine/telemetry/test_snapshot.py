import threading
from types import SimpleNamespace
from typing import Any

from mmgen.engine.job import Job, Request
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.telemetry.snapshot import snapshot


def test_every_part_is_read() -> None:
    ledger = Ledger(100, "cpu", lambda: {"process": 7})
    ledger.reserve("a", 30, "kv")
    weights: Any = SimpleNamespace(nbytes=20)
    pool = ModelPool(ledger)
    pool.register("text books", 20, lambda: weights)
    limiter = GapLimiter(FairScheduler())
    limiter.broken, limiter.longest_gap = {"draw": 2}, 41.0
    forecast: Any = SimpleNamespace(todo=lambda: 2.5)
    waiting, running = Job("text", None), Job("text", None, Request(priority="batch"))
    running.begin()
    text = SimpleNamespace(work="text", unit="tokens", counters=lambda: {"cached": 3})
    runners: Any = {"text": text, "plain": SimpleNamespace()}
    now = snapshot(threading.Lock(), [waiting, running], runners, pool, limiter, forecast)
    assert now.queued == {("text", "normal"): 1} and now.running == {("text", "batch"): 1}
    assert now.ledger == {"kv": 30, "weights": 20} and now.measured == {"process": 7}
    assert (now.limit, now.device, now.models, now.evictions) == (100, "cpu", {"text books": "awake"}, 0)
    assert now.broken_gaps == {"draw": 2} and now.longest_gap_ms == 41.0 and now.queue_s == 2.5
    assert now.counters == {"text": {"cached": 3}} and now.work == {"text": "text"} and now.units == {"text": "tokens"}
