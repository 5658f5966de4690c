"""A step that pauses between any two layers of its networks. Knows modules; not what they compute, or what a pause is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

Pause = Callable[[Callable[[], None]], None]
"""What the engine calls `mmgen.engine.preemption.PreemptionPoints`."""


def pause_between(networks: Iterable[nn.Module], pause: Pause) -> None:
    """From now on `pause(wait)` is called behind every layer; `wait` returns once the device has computed it."""
    for network in networks:
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else _done
        for layer in network.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_hook(partial(_behind, pause, wait))


def _behind(pause: Pause, wait: Callable[[], None], *_: Any) -> None:
    pause(wait)


def _done() -> None:
    """A CPU computes at once."""
