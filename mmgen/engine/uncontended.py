"""Time in which nobody else waits for the device: a step may then do several quanta in a row. Torch-free."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

SECONDS = 0.03
"""Of quanta in a row: as often a text that streams goes on at least, which is still smooth to read."""


@dataclass(frozen=True)
class Uncontended:
    """Given to a runner before a step whose jobs have the device to themselves."""

    seconds: float = SECONDS
    stop: ctypes.c_int32 = field(default_factory=ctypes.c_int32)  # the engine, while the step runs: not 0 once it is to end
