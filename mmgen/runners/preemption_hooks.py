"""A step that pauses between any two layers of its networks, and within large products. Knows modules; not what they compute,
or what a pause is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from mmgen.models.cpu.linear import Linear

Pause = Callable[[Callable[[], None]], None]
"""What the engine calls `mmgen.engine.preemption.PreemptionPoints`."""


@dataclass(frozen=True)
class PausedProduct:
    """An `Interruption` of a linear layer on a CPU. A pause that cannot tell whether anybody waits is always taken."""

    pause: Pause

    def wanted(self) -> bool:
        return bool(getattr(self.pause, "wanted", _always)())

    def __call__(self) -> None:
        self.pause(_done)


def pause_between(networks: Iterable[nn.Module], pause: Pause) -> None:
    """From now on `pause(wait)` is called behind every layer; `wait` returns once the device has computed it. On a CPU large
    products pause between parts of their rows, too, while anybody waits."""
    for network in networks:
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else _done
        for layer in network.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_hook(partial(_behind, pause, wait))
            if isinstance(layer, Linear) and device.type == "cpu":
                layer.interruption = PausedProduct(pause)


def _behind(pause: Pause, wait: Callable[[], None], *_: Any) -> None:
    pause(wait)


def _always() -> bool:
    return True


def _done() -> None:
    """A CPU computes at once."""
