"""`mixed_precision: auto`: forward and backward passes of the task, timed in turn in fp32 and bf16 before its first step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.models.tuning.timing import LEAST, Lap, Timings, interleaved, timed

log = logging.getLogger(__name__)
AUTO = "auto"
SECONDS = 20.0
"""That measuring may take: a run takes minutes to hours."""
NEAR = 0.01
"""By what part the first loss in bf16 may differ from fp32's."""


def accelerator(wanted: str) -> Any:
    """accelerate's, of a recipe's `mixed_precision`. With "auto" a GPU takes bf16; on a processor `loop.run` measures."""
    from accelerate import Accelerator

    bf16 = wanted == AUTO and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return Accelerator(mixed_precision="bf16" if bf16 else "no" if wanted == AUTO else wanted)


def context(precision: str) -> AbstractContextManager[Any]:
    """What a pass runs in: "bf16" is autocast on a processor; "no" leaves things as they are."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def measured(module: nn.Module, batch: Any, minimised: str) -> tuple[str, str]:
    """ "bf16" or "no", and why: by forward and backward passes over one micro-batch, whose gradients are dropped."""
    losses: dict[str, float] = {}

    def passed(precision: str) -> None:
        torch.manual_seed(0)  # dropout
        with context(precision):
            loss: Tensor = module(batch)[minimised]
        losses[precision] = float(loss.detach())
        loss.float().backward()
        module.zero_grad(set_to_none=True)

    laps: dict[str, Callable[[], Lap]] = {name: partial(timed, partial(passed, name)) for name in ("no", "bf16")}
    timings = interleaved(laps, time.perf_counter() + SECONDS, most=2 * LEAST)
    return chosen(timings, losses)


def chosen(timings: Timings, losses: dict[str, float]) -> tuple[str, str]:
    """The precision, and why."""
    if not abs(losses["bf16"] - losses["no"]) <= NEAR * abs(losses["no"]):
        return "no", f"its loss in bf16 is {losses['bf16']:.4g}, not {losses['no']:.4g}"
    decision = timings.decide("no", "bf16")
    if decision == "unsettled":
        return "no", f"{timings.rounds} rounds settle nothing{', the machine is busy' if timings.busy else ''}"
    took = f"a pass forward and backward takes {timings.ms('bf16'):.0f} ms in bf16, {timings.ms('no'):.0f} in fp32"
    return ("bf16" if decision == "faster" else "no"), took
