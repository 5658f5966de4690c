"""Files through two stages on the nodes of a Ray cluster, by Ray Data: reading in tasks, embedding in a pool of actors.

Ray Data holds reading back while embedding is behind, and both while what is here is not taken. What dies with a process or a
node is computed again: this process alone writes, and takes a file's result once.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmgen.cluster.ray_connection import connect
from mmgen.errors import JobFailed, MmgenError, TooLarge
from mmgen.library.cluster.stages import Stage, StageRow

AT_ONCE = 16  # files of a task, and of a batch that is embedded
MOST_BLOCKS = 4096
READ_CPUS, EMBED_CPUS = 0.4, 0.6
"""Of a process: one of each fits on a core, and no two that embed."""
OPENED: dict[str, Callable[[Sequence[StageRow]], list[StageRow]]] = {}
"""Stages that this process has opened."""


@contextmanager
def cluster(address: str) -> Iterator[Callable[[Sequence[str], Stage, Stage], Iterator[StageRow]]]:
    """`run` on the Ray at that address, which is left at the end. Raises as `ray_connection.connect`."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it tells on stderr how it goes
    connect(address, 1)
    import ray

    try:
        yield run
    finally:
        ray.shutdown()


def run(files: Sequence[str], read: Stage, embed: Stage) -> Iterator[StageRow]:
    """A row for each file, in any order.

    Raises TooLarge where no node has the processors, and what a stage raises.
    """
    import numpy as np
    import ray.data
    from ray.exceptions import RayError

    has = ray.cluster_resources()
    cpus, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
    if cpus < 1:
        raise TooLarge("the nodes of this Ray have no processors to read and embed with; start one with --num-cpus")
    blocks = min(MOST_BLOCKS, max(math.ceil(len(files) / AT_ONCE), min(len(files), 2 * cpus)))
    actors = ray.data.ActorPoolStrategy(size=min(blocks, gpus or cpus))
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")  # of few files, which is no fault
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    found = ray.data.from_items(list(files), override_num_blocks=blocks)
    found = found.map_batches(_read, fn_kwargs={"stage": read}, num_cpus=READ_CPUS, batch_size=AT_ONCE)
    found = found.map_batches(
        _Embedder,
        fn_constructor_args=(embed,),
        compute=actors,
        num_cpus=EMBED_CPUS,
        num_gpus=1 if gpus else None,
        batch_size=AT_ONCE,
    )
    try:
        for batch in found.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
            yield from np.asarray(batch["row"]).tolist()
    except RayError as why:
        cause = getattr(why, "cause", None)
        if isinstance(cause, MmgenError):
            raise cause from None
        raise JobFailed(f"a stage failed on the cluster: {' '.join(str(why).split())[-300:]}") from why


def _read(batch: dict[str, Any], stage: Stage) -> dict[str, Any]:
    return _rows(_opened(stage)([StageRow(str(uri)) for uri in batch["item"]]))


def _opened(stage: Stage) -> Callable[[Sequence[StageRow]], list[StageRow]]:
    """Once in a process, whatever number of tasks it runs."""
    key = repr(stage)
    if key not in OPENED:
        OPENED[key] = stage.open()
    return OPENED[key]


class _Embedder:
    """An actor's."""

    def __init__(self, stage: Stage) -> None:
        self.embed = stage.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return _rows(self.embed(batch["row"].tolist()))


def _rows(rows: Sequence[StageRow]) -> dict[str, Any]:
    import numpy as np

    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return {"row": column}
