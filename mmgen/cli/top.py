"""`mmgen top`: a live view of jobs, runners and memory of a running mmgen, from its Prometheus metrics. Read-only."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NO_SUMS = ("mmgen_fairness", "mmgen_longest_gap_milliseconds")
LARGEST = 16_000_000  # bytes of a response that are read


def top(
    url: Annotated[str, typer.Argument(help="Address of its metrics; see `metrics_port` in config.yaml.")],
    every: Annotated[float, typer.Option(help="Seconds between two updates.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and stop.")] = False,
) -> None:
    """Watch jobs, runners and memory live. Ctrl-C ends it."""
    from rich.console import Console
    from rich.live import Live

    last, console = MetricsView.of(fetch(url)), Console()
    if once:
        console.print(render(last, None, url))
        return
    with Live(render(last, None, url), console=console, screen=console.is_terminal) as live:
        while True:
            time.sleep(every)
            now = MetricsView.of(fetch(url))
            live.update(render(now, last, url), refresh=True)
            last = now


def fetch(url: str) -> str:
    """The body of GET URL/metrics. Raises NotFound where the connection fails, BadRequest for a malformed address."""
    from urllib.error import URLError
    from urllib.request import urlopen

    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")):
        raise BadRequest(f"{url} is no http address; give one such as http://127.0.0.1:9100")
    try:
        with urlopen(f"{address.rstrip('/').removesuffix('/metrics')}/metrics", timeout=5) as answer:
            return str(answer.read(LARGEST).decode())
    except (URLError, OSError, ValueError) as why:
        reason = getattr(why, "reason", why)
        raise NotFound(f"there are no metrics at {url} ({reason}); set metrics_port in config.yaml and start mmgen") from None


@dataclass(frozen=True)
class MetricsView:
    """A snapshot: metric's name -> values of its labels, sorted by the labels' names -> number."""

    at: float  # time.monotonic()
    samples: Mapping[str, Mapping[tuple[str, ...], float]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> MetricsView:
        from prometheus_client.parser import text_string_to_metric_families

        samples: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        try:
            for family in text_string_to_metric_families(text):
                for one in family.samples:
                    labels = tuple(value for name, value in sorted(one.labels.items()) if name != "replica")
                    before, found = samples[one.name].get(labels, 0.0), one.value  # replicas of a cluster count together
                    samples[one.name][labels] = max(before, found) if one.name in NO_SUMS else before + found
        except ValueError as why:
            raise BadRequest(f"the response is not in Prometheus' text format ({why}); give mmgen's own address") from None
        return cls(time.monotonic(), dict(samples))

    def get(self, name: str) -> Mapping[tuple[str, ...], float]:
        return self.samples.get(name, {})


def render(now: MetricsView, last: MetricsView | None, title: str) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.markup import escape

    head = f"[bold]mmgen top[/bold]  {escape(title)}  {_line(now)}"
    return Group(head, _runners(now, last), _jobs(now), Columns([_memory(now), _users(now, last)]))


def _line(now: MetricsView) -> str:
    gap = now.get("mmgen_longest_gap_milliseconds").get((), 0.0)
    broken = sum(now.get("mmgen_gap_broken_total").values())
    errors = sum(now.get("mmgen_errors_total").values())
    evicted = now.get("mmgen_evictions_total").get((), 0.0)
    return f"longest gap {gap:,.0f} ms ({broken:,.0f} over the cap), {errors:,.0f} errors, {evicted:,.0f} evictions"


def _runners(now: MetricsView, last: MetricsView | None) -> Table:
    from rich.markup import escape

    table = _table("runner", "busy", "quanta/s", "ms/quantum", "jobs/quantum", "wait ms", "first ms", "between ms")
    name = "mmgen_quantum_milliseconds"
    for key in sorted(now.get(f"{name}_count")):
        spent, quanta = _rate(now, last, f"{name}_sum", key), _rate(now, last, f"{name}_count", key)
        table.add_row(
            escape(key[0]),
            f"{spent / 10:.0f} %" if last else "",
            f"{quanta:.1f}" if last else "",
            *(
                _mean(now, one, key)
                for one in (
                    name, "mmgen_batch_jobs", "mmgen_wait_milliseconds", "mmgen_first_event_milliseconds",
                    "mmgen_between_events_milliseconds",
                )
            ),
        )  # fmt: skip
    return table


def _jobs(now: MetricsView) -> Table:
    table, found = _table("runner", "priority", "queued", "running"), now.get("mmgen_jobs_now")
    for priority, runner in sorted({key[:2] for key in found}):
        states = (found.get((priority, runner, state), 0.0) for state in ("queued", "running"))
        table.add_row(runner, priority, *(f"{number:,.0f}" for number in states))
    return table


def _memory(now: MetricsView) -> Table:
    table = _table("memory", "MB")
    rows = [(kind, nbytes) for (_, kind), nbytes in now.get("mmgen_ledger_bytes").items()]
    rows += [(f"{kind} (measured)", nbytes) for (_, kind), nbytes in now.get("mmgen_measured_bytes").items()]
    rows += [("limit", nbytes) for nbytes in now.get("mmgen_ledger_limit_bytes").values()]
    for kind, nbytes in rows:
        table.add_row(kind, f"{nbytes / 1e6:,.0f}")
    for name, state in now.get("mmgen_model"):
        table.add_row(name, state)
    return table


def _users(now: MetricsView, last: MetricsView | None) -> Table:
    table = _table("user", "device s", "share now")
    spent = {
        key: _rate(now, last, "mmgen_device_milliseconds_total", key) for key in now.get("mmgen_device_milliseconds_total")
    }
    for key, value in _most(now.get("mmgen_device_milliseconds_total")):
        table.add_row(key[0], f"{value / 1000:,.1f}", f"{spent[key] / 10:.0f} %" if last else "")
    return table


def _most(values: Mapping[tuple[str, ...], float], count: int = 12) -> Iterator[tuple[tuple[str, ...], float]]:
    yield from sorted(values.items(), key=lambda item: -item[1])[:count]


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        kwargs: dict[str, Any] = {} if number == 0 or column == "priority" else {"justify": "right"}
        table.add_column(column, **kwargs)
    return table


def _rate(now: MetricsView, last: MetricsView | None, name: str, key: tuple[str, ...]) -> float:
    """A counter's increase per second between two snapshots."""
    if last is None or now.at <= last.at:
        return 0.0
    return (now.get(name)[key] - last.get(name).get(key, 0.0)) / (now.at - last.at)


def _mean(now: MetricsView, name: str, key: tuple[str, ...]) -> str:
    count = now.get(f"{name}_count").get(key, 0.0)
    return f"{now.get(f'{name}_sum')[key] / count:,.1f}" if count else ""
