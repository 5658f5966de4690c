"""What an engine is at, as HTML: tiles, jobs, shares, memory. Names are escaped. Changes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from mmgen.engine.job import Job
from mmgen.engine.telemetry.metrics import EngineState, jain

from . import answer_html, svg_charts
from .activity import OTHER, ActivityRate

WORK = ["text", "image", "encoding", "reading", "vision", "loading", OTHER]
MOST = 12  # rows of a table
IDLE = "<p class='empty'>No jobs running. Generate or ask something in another tab or window, and watch it here.</p>"


def tiles(now: EngineState, rates: Sequence[ActivityRate]) -> str:
    """The four numbers that one looks for first."""
    busy = min(1.0, sum(rates[-1].busy.values())) if rates else 0.0
    held = sum(now.ledger.values())
    of = f"of {size(now.limit)}" if now.limit else "booked on the device"
    found = [
        (f"{sum(now.running.values())}", "jobs running"),
        (f"{sum(now.queued.values())}", "jobs waiting"),
        (f"{busy:.0%}", f"of {now.device if now.device not in ('', 'auto') else 'the device'} busy"),
        (size(held), of),
        (f"{now.longest_gap_ms:,.0f} ms", "longest gap between tokens of a stream"),
    ]
    shown = "".join(f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what in found)
    return f"<div class='tiles'>{shown}</div>"


def plots(rates: Sequence[ActivityRate]) -> str:
    """The last minutes."""
    times = [rate.ago for rate in rates]
    busy = svg_charts.stacked(times, [rate.busy for rate in rates], WORK, "Device time by work")
    done = svg_charts.lines(times, [rate.done for rate in rates], ["tokens", "steps"], "Tokens and denoising steps per second")
    return f"<div class='plots'>{busy}{done}</div>"


def jobs(found: Sequence[Job], work: Mapping[str, str]) -> str:
    """A row for the jobs of one request and runner. `work`: of each runner, see `EngineState.work`."""
    if not found:
        return _section("Jobs", IDLE)
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in found:
        groups.setdefault((job.request.id, job.runner), []).append(job)
    rows = [
        (
            f"{work.get(runner, OTHER)} ({runner})",
            f"{len(group)}",
            user(group[0].request.user),
            group[0].request.priority,
            ", ".join(f"{number} {status}" for status, number in Counter(job.status for job in group).items()),
            f"{sum(job.quanta for job in group):,}",
            f"{sum(job.device_ms for job in group) / 1000:.1f} s",
            f"{time.monotonic() - (group[0].submitted or time.monotonic()):.1f} s",
            _remaining(group),
        )
        for (_, runner), group in list(groups.items())[:MOST]
    ]
    heads = ("work", "jobs", "user", "priority", "status", "steps", "device time", "age", "expected end")
    return _section("Jobs", _table(heads, rows))


def shares(users: Mapping[str, float]) -> str:
    """Of the device's time since the start, by user."""
    if not users:
        return _section("Device time by user", "<p class='empty'>The device has not been used yet.</p>")
    spent, total = sorted(users.items(), key=lambda one: -one[1])[:MOST], sum(users.values()) or 1.0
    rows = [(user(name), ms / total, f"{ms / total:.0%} · {ms / 1000:.1f} s") for name, ms in spent]
    fair = f"<p class='facts'>fairness {jain(users.values()):.2f} (1: equal shares)</p>" if len(users) > 1 else ""
    return _section("Device time by user", answer_html.bars(rows, "Device time by user") + fair)


def memory(now: EngineState) -> str:
    """The ledger by kind, and what the device says itself."""
    rows = sorted(now.ledger.items(), key=lambda one: -one[1])
    most = max([now.limit or 0, *now.ledger.values(), *now.measured.values()]) or 1
    shown = [(name or "other", nbytes / most, size(nbytes)) for name, nbytes in rows]
    shown += [(f"{name} (measured)", nbytes / most, size(nbytes)) for name, nbytes in now.measured.items()]
    shown += [("limit", now.limit / most, size(now.limit))] if now.limit else []
    return _section("Memory ledger", answer_html.bars(shown, "Memory by kind"))


def user(name: str) -> str:
    """A browser's session is long; its beginning tells it from others."""
    return f"browser {name[:4]}" if len(name) > 8 and name.isalnum() else name


def size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"


def _remaining(group: Sequence[Job]) -> str:
    """As estimated when they were submitted; empty where the runner's cost was unknown."""
    ends = [job.expected_end for job in group if job.expected_end is not None]
    return f"in {max(0.0, max(ends) - time.monotonic()):.0f} s" if ends else ""


def _section(title: str, body: str) -> str:
    return f"<section class='panel'><h2>{escape(title)}</h2>{body}</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
