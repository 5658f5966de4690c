"""What the engine is at: names escaped, jobs of a request on one line, shares of the whole."""

import time

from apps import engine_html
from mmgen.engine.job import Job, Request
from mmgen.engine.telemetry.metrics import EngineState


def test_jobs_of_a_request_share_a_line() -> None:
    request = Request.new("<b>me", "interactive")
    jobs = [Job("denoise:x", None, request) for _ in range(3)]
    jobs[0].begin()
    jobs[1].expected_end, jobs[2].expected_end = time.monotonic() + 2.2, time.monotonic() + 7.2
    shown = engine_html.jobs(jobs, {"denoise:x": "image"})
    assert shown.count("<tr>") == 2  # the head and one
    assert (
        "image (denoise:x)" in shown
        and "1 running, 2 queued" in shown
        and "in 7 s" in shown
        and "&lt;b&gt;me" in shown
        and "<b>me" not in shown
    )


def test_an_idle_engine_says_what_to_do() -> None:
    assert engine_html.IDLE in engine_html.jobs([], {}) and "has not been used" in engine_html.shares({})


def test_shares_are_of_all_users() -> None:
    shown = engine_html.shares({"a": 3000.0, "s1r0ob0v5zo": 1000.0})
    assert "75% · 3.0 s" in shown and "browser s1r0" in shown and "fairness 0.80" in shown


def test_memory_tells_the_ledger_the_limit_and_the_device() -> None:
    now = EngineState(ledger={"weights": 440_000_000}, measured={"process": 1_300_000_000}, limit=2_000_000_000)
    shown = engine_html.memory(now)
    assert "440 MB" in shown and "1.3 GB" in shown and "limit" in shown and "width:22%" in shown


def test_tiles_count_what_waits_and_runs() -> None:
    now = EngineState(queued={("text:x", "normal"): 2, ("denoise:x", "batch"): 1}, running={("text:x", "normal"): 4})
    shown = engine_html.tiles(now, [])
    assert "<b>4</b><span>jobs running" in shown and "<b>3</b><span>jobs waiting" in shown
