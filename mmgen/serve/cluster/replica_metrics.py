"""The metrics of all replicas in one text, each sample with its replica's label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmgen.serve.cluster.dispatcher import Dispatcher


def exposition(dispatcher: Dispatcher, own: str) -> str:
    """In Prometheus' text format. `own`: of this process, which goes by the replica "ingress"."""
    texts = {"ingress": own, **{name: report.metrics for name, report in dispatcher.reports.items()}}
    return labelled(texts) + "".join(f"{line}\n" for line in _cluster(dispatcher))


def labelled(texts: Mapping[str, str]) -> str:
    """The same families of metrics together; `texts`: by replica."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for replica, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                heads.setdefault(family, [])
            if line.startswith("#"):
                if line not in heads.get(family, ()):
                    heads.setdefault(family, []).append(line)
            elif line:
                samples.setdefault(family, []).append(_with_label(line, replica))
    return "".join(f"{line}\n" for family, head in heads.items() for line in [*head, *samples.get(family, ())])


def _with_label(sample: str, replica: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{replica="{replica}",{rest}'
    name, _, rest = sample.partition(" ")
    return f'{name}{{replica="{replica}"}} {rest}'


def _cluster(dispatcher: Dispatcher) -> Iterator[str]:
    router = dispatcher.router
    for name, kind, what, value in (
        ("mmgen_cluster_waiting", "gauge", "Requests that wait for a replica", len(router.waiting)),
        ("mmgen_cluster_replicas", "gauge", "Replicas that take calls", len(router.replicas)),
        (
            "mmgen_cluster_model_loads_total",
            "counter",
            "Calls that were sent to where their model had to be loaded",
            router.moves,
        ),
        ("mmgen_cluster_deaths_total", "counter", "Replicas that died", dispatcher.deaths),
        ("mmgen_cluster_replayed_total", "counter", "Calls that were played again on another replica", dispatcher.replayed),
    ):
        yield from (f"# HELP {name} {what}", f"# TYPE {name} {kind}", f"{name} {float(value)}")
    yield "# HELP mmgen_replica_sent_seconds Device time that the calls on a replica are predicted to take"
    yield "# TYPE mmgen_replica_sent_seconds gauge"
    for replica in list(router.replicas.values()):
        yield f'mmgen_replica_sent_seconds{{replica="{replica.name}"}} {replica.queue_s}'
