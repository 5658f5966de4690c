"""`mmgen simulate`: a recorded trace under another policy, in simulated time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_columns


def simulate(
    trace: Annotated[Path, typer.Argument(help="A trace recorded with the setting `trace`.")],
    policy: Annotated[str, typer.Option(help="fair, fifo, priority, shortest, or a plugin's.")] = "fair",
    max_gap_ms: Annotated[
        float | None, typer.Option(help="Longest time, in ms, that a streaming job waits for others.", min=1)
    ] = None,
) -> None:
    """Replay a trace with the scheduler's own code over the recorded costs, and print latencies and fairness."""
    from mmgen.engine.telemetry import simulator
    from mmgen.engine.telemetry.trace import read
    from mmgen.plugins import registry

    chosen = registry().policies.get(policy)
    coming, cost = simulator.arrivals(read(trace))
    print_columns((policy, ""), simulator.play(coming, cost, chosen, max_gap_ms).rows())
