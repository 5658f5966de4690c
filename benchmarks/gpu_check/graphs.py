"""Decoding by CUDA graphs beside the same passes run plainly, and beside ordinary ones: tokens and speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from benchmarks import decode
from benchmarks.gpu_check import subjects
from benchmarks.gpu_check.report import RowWriter
from mmgen.runners.decode_graphs import CUDARecorder, DecodeGraphs
from mmgen.runners.generation import TextRequest

if TYPE_CHECKING:
    from benchmarks.gpu_check.parts import Plan


def plainly(work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    """A `Recorder` that records nothing: the pass in fixed shapes, run again by Python each time."""
    out = work()

    def again() -> None:
        out.copy_(work())

    return out, again


def compare(plan: Plan, out: RowWriter, engine: Any, texts: int, tokens: int) -> None:
    """The engine's runner "bf16" in three ways, on the same prompts. On a CPU two of them are the same."""
    runner = engine.runners["bf16"]
    usual, on_card = runner.graphs, plan.device.startswith("cuda")
    ways = {
        "kernel by kernel": None,
        "fixed shapes, not recorded": DecodeGraphs(runner.lm, plainly),
        "recorded": DecodeGraphs(runner.lm, CUDARecorder() if on_card else plainly),
    }
    asks = [TextRequest(decode.numbers(32, number), decode.greedy(tokens)) for number in range(texts)]
    written, speeds = {}, {}
    for name, runner.graphs in ways.items():
        decode.write(engine, asks, "bf16")  # records, and leaves the prompts in the cache
        began = time.perf_counter()
        written[name] = decode.write(engine, asks, "bf16")
        plan.synchronize()
        speeds[name] = texts * tokens / (time.perf_counter() - began)
    runner.graphs = usual
    what, used = f"CUDA graphs, {texts} texts" if on_card else f"decoding in fixed shapes, {texts} texts", ways["recorded"]
    assert used is not None
    refused = f"refused: {used.refused}" if used.refused else f"{len(used.passes)} passes recorded"
    out.add(f"{what}: tokens a second", ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items()))
    out.add(f"{what}: recorded", refused, not used.refused)
    equal = subjects.same(written["recorded"], written["fixed shapes, not recorded"])
    out.add(f"{what}: tokens of a replay and of the same pass run plainly", "equal" if equal else "unequal", equal)
    share = subjects.alike(written["kernel by kernel"], written["recorded"])
    out.add(f"{what}: tokens as kernel by kernel, up to the first that differs", f"{share:.0%}")
