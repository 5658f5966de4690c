"""What is checked, a function a part: each runs in a process of its own, so that a fault of the device ends that part alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check import graphs, subjects
from benchmarks.gpu_check.report import RowWriter
from mmgen.errors import MmgenError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    device: str
    small: bool  # as little as shows that the check works
    ends: float  # time.time(), when this part must be done

    @property
    def left(self) -> float:
        return self.ends - time.time()

    def synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], Any], repeats: int = 20) -> float:
        """Median of so many calls, each waited for, after two that are not counted."""
        times = []
        for _ in range(2 + (2 if self.small else repeats)):
            began = time.perf_counter()
            work()
            self.synchronize()
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times[2:])


@contextmanager
def told(out: RowWriter, what: str) -> Iterator[None]:
    """What a model refuses is told in a row, and fails nothing."""
    try:
        yield
    except MmgenError as why:
        out.add(what, f"refused: {why}")


def machine(plan: Plan, out: RowWriter) -> None:
    """What it ran on."""
    out.add("torch", torch.__version__)
    if plan.device.startswith("cuda"):
        card = torch.cuda.get_device_properties(plan.device)
        out.add("card", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {card.multi_processor_count} multiprocessors")
        out.add("CUDA, compute capability", f"{torch.version.cuda}, {card.major}.{card.minor}")
    bandwidth, flops = limits(plan)
    out.add("copying, bytes read and written a second", f"{bandwidth / 1e9:.0f} GB/s")
    out.add("bf16 product of large matrices", f"{flops / 1e12:.1f} TFLOP/s")


def limits(plan: Plan) -> tuple[float, float]:
    """Bytes a second of a copy and FLOP/s of a bf16 product on this device, measured."""
    from mmgen.training.throughput import peak

    plain = torch.ones((1 << 22) if plan.small else (1 << 28), device=plan.device)
    copied = torch.empty_like(plain)
    took = plan.milliseconds(lambda: copied.copy_(plain)) / 1000
    return 2 * plain.nbytes / took, peak(torch.device(plan.device), "bf16")


def correctness(plan: Plan, out: RowWriter) -> None:
    """Every model against the CPU in fp32; in fp32 closely, in bf16 as far as bf16 goes."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    count, steps = (2, 3) if plan.small else (4, 10)
    with tempfile.TemporaryDirectory() as folder:
        folders, home = Path(folder, "models"), Path(folder, "home")
        folders.mkdir()
        subjects.make(folders)
        with subjects.runtime("cpu", home) as rt:
            wanted = {one.name: one.alone(rt, count) for one in subjects.subjects("fp32", folders, steps)}
        with subjects.runtime(plan.device, home) as rt:
            for precision in ("fp32", "bf16"):
                for one in subjects.subjects(precision, folders, steps):
                    with told(out, f"{one.name}, {precision}"):
                        _compare(out, one, precision, wanted[one.name], one.alone(rt, count))


def _compare(out: RowWriter, one: subjects.Subject, precision: str, wanted: list[Any], found: list[Any]) -> None:
    what, exact = f"{one.name}, {precision}: difference from the CPU in fp32", precision == "fp32"
    if one.precise is None:
        share = subjects.alike(wanted, found)
        out.add(f"{what}, tokens equal up to the first that differs", f"{share:.0%}", share == 1.0 if exact else None)
    else:
        largest = subjects.difference(wanted, found)
        out.add(f"{what}, largest", f"{largest:.1e}", largest <= one.precise if exact else largest <= 1e4 * one.precise)


def batches(plan: Plan, out: RowWriter) -> None:
    """Each request alone, and all of them at once: the same to the bit."""
    count, steps = (3, 3) if plan.small else (8, 10)
    with tempfile.TemporaryDirectory() as folder:
        folders = Path(folder, "models")
        folders.mkdir()
        subjects.make(folders)
        with subjects.runtime(plan.device, Path(folder, "home")) as rt:
            for precision in ("fp32", "bf16"):
                for one in subjects.subjects(precision, folders, steps):
                    with told(out, f"{one.name}, {precision}"):
                        _together(out, one, precision, one.alone(rt, count), one.at_once(rt, count))


def _together(out: RowWriter, one: subjects.Subject, precision: str, alone: list[Any], together: list[Any]) -> None:
    equal = subjects.same(alone, together)
    figure = "equal" if equal else "unequal"
    if not equal and one.precise is not None:
        figure += f", largest difference {subjects.difference(alone, together):.1e}"
    out.add(f"{one.name}, {precision}: {len(alone)} alone and at once", figure, equal)


def decoding(plan: Plan, out: RowWriter) -> None:
    """Random weights of Llama's shape: tokens a second beside the memory's speed, a prompt beside FLOP/s."""
    from benchmarks import decode
    from mmgen.engine.engine import Engine
    from mmgen.runners.generation import TextRequest
    from mmgen.runners.text import TextRunner

    size, tokens, prompt = ("tiny", 8, 64) if plan.small else ("0.5b", 128, 2048)
    bandwidth, flops = limits(plan)
    with Engine({}) as engine:
        model = engine.call(decode.peer, size, plan.device)
        lm = engine.call(decode.ours, model, plan.device, "bf16")
        engine.add_runner("bf16", TextRunner(lm, decode.NOTHING, memory=decode.MEMORY))
        read = decode.read_by_a_token(model) // 2  # of fp32 weights, kept in bf16

        def write(rows: int, prompt: int, tokens: int) -> float:
            """Seconds."""
            asks = [TextRequest(decode.numbers(prompt, time.perf_counter_ns()), decode.greedy(tokens)) for _ in range(rows)]
            return decode.seconds(lambda: decode.write(engine, asks, "bf16"))

        for rows in (1, 16, 64):
            write(rows, 32, tokens)
            speed = rows * tokens / write(rows, 32, tokens)
            figure = f"{speed:.0f}, weights read at {speed / rows * read / bandwidth:.0%} of a copy's speed"
            out.add(f"{size}, bf16, {rows} texts: tokens a second", figure)
        write(1, prompt, 1)
        took = write(1, prompt, 1)
        done = 2 * sum(p.numel() for p in model.parameters()) * prompt
        figure = f"{1000 * took:.1f} ms, {done / took / flops:.0%} of a product's FLOP/s"
        out.add(f"{size}, bf16: a prompt of {prompt} tokens", figure)
        for rows in (1, 3) if plan.small else (1, 16, 64):
            graphs.compare(plan, out, engine, rows, tokens)
        peer = decode.Peer(model.to(torch.bfloat16))
        theirs = [decode.seconds(lambda: peer.generate([decode.numbers(32, 1)], tokens)) for _ in range(2)][1]
        out.add(f"{size}, bf16, one text: transformers.generate", f"{tokens / theirs:.0f} tokens a second")


def denoising(plan: Plan, out: RowWriter) -> None:
    """A UNet of Stable Diffusion 1.5's shape with random weights: one evaluation, as it is and compiled."""
    import diffusers
    from torch.utils.flop_counter import FlopCounterMode

    _, flops = limits(plan)
    widths, side = ((32, 64), 16) if plan.small else ((320, 640, 1280, 1280), 64)
    cross, plain = "CrossAttnDownBlock2D", "DownBlock2D"
    torch.manual_seed(0)
    unet: Any = diffusers.UNet2DConditionModel(
        sample_size=side,
        block_out_channels=widths,
        down_block_types=(cross,) * (len(widths) - 1) + (plain,),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (len(widths) - 1),
        cross_attention_dim=64 if plan.small else 768,
    )
    unet.requires_grad_(False).eval().to(plan.device, torch.bfloat16, memory_format=torch.channels_last)
    for rows in (2, 16):
        x = torch.randn(rows, 4, side, side, device=plan.device, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        states = torch.randn(rows, 77, unet.config.cross_attention_dim, device=plan.device, dtype=torch.bfloat16)
        steps = torch.full((rows,), 500, device=plan.device)

        def work(network: Any, x: Any = x, steps: Any = steps, states: Any = states) -> Any:
            with torch.inference_mode():
                return network(x, steps, states, return_dict=False)[0]

        with FlopCounterMode(display=False) as counter:
            plainly = work(unet)
        took, done = plan.milliseconds(lambda: work(unet)), counter.get_total_flops()
        out.add(f"{rows} rows at {8 * side} px, bf16", f"{took:.1f} ms, {done / took * 1000 / flops:.0%} of a product's FLOP/s")
        if plan.device.startswith("cuda") and plan.left > 90:
            quick = torch.compile(unet, mode="max-autotune-no-cudagraphs" if rows > 2 else "reduce-overhead")
            far = (work(quick).float() - plainly.float()).abs().max() / plainly.float().abs().max()
            took = plan.milliseconds(lambda quick=quick: work(quick))
            out.add(f"{rows} rows at {8 * side} px, bf16, compiled", f"{took:.1f} ms, differs by {far:.1e}", bool(far < 0.05))


def packed(plan: Plan, out: RowWriter) -> None:
    """Quantized weights on the card: what loads, what it holds and whether it says what the CPU says."""
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("int8", "int4"):
            one = subjects.Subject(precision, lambda rt, n, p=precision: subjects.write(rt, n, f"embedded:books#{p}"), None)
            with subjects.runtime("cpu", Path(folder)) as rt:
                wanted = one.alone(rt, 2)
            with told(out, f"embedded:books#{precision}"), subjects.runtime(plan.device, Path(folder)) as rt:
                share = subjects.alike(wanted, one.alone(rt, 2))
                held = rt.engine.models.ledger.by_kind().get("weights", 0)
                out.add(
                    f"embedded:books#{precision}: tokens as on the CPU", f"{share:.0%}, {held / 2**20:.0f} MiB", share > 0.5
                )


def memory(plan: Plan, out: RowWriter) -> None:
    """The account of the ledger beside the allocator's; models that sleep in the host's memory and wake to the same answer."""
    with tempfile.TemporaryDirectory() as folder, subjects.runtime(plan.device, Path(folder)) as rt:
        one = subjects.subjects("fp32", Path(folder), 3)[3]
        before = one.alone(rt, 1)
        ledger, measured = rt.engine.models.ledger.by_kind(), rt.engine.models.ledger.measured()
        held = sum(ledger.values())
        out.add("ledger: " + ", ".join(f"{kind} {size >> 20} MiB" for kind, size in ledger.items()), f"{held >> 20} MiB")
        if "allocated" in measured:
            share = measured["allocated"] / max(held, 1)
            figure = f"{measured['allocated'] >> 20} MiB, {share:.2f}"
            out.add("the allocator's bytes, by the ledger's", figure, 0.8 < share < 1.2)
        began = time.perf_counter()
        rt.sleep("embedded:emoji#fp32")
        asleep = rt.engine.models.ledger.measured()
        slept = time.perf_counter()
        if "allocated" in asleep:
            freed = measured["allocated"] - asleep["allocated"]
            out.add("freed by sleep", f"{freed >> 20} MiB", freed > 0)
        rt.wake("embedded:emoji#fp32")
        plan.synchronize()
        out.add("to sleep, to wake", f"{1000 * (slept - began):.0f}, {1000 * (time.perf_counter() - slept):.0f} ms")
        out.add("the same image after it", "", subjects.same(before, one.alone(rt, 1)))


MIXED = 8
"""Lines in which mixed.py tells what it found."""


def mixed(plan: Plan, out: RowWriter) -> None:
    """benchmarks/mixed.py on this device: its last lines."""
    seconds = 2 if plan.small else max(10, min(30, (plan.left - 60) / 7))
    times = ["--seconds", f"{seconds:.0f}", "--alone", f"{seconds / 3:.1f}", "--chats", "2"]
    command = [sys.executable, "benchmarks/mixed.py", "--device", plan.device, *times, "--quick" if plan.small else "--large"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(30.0, plan.left))
    except subprocess.TimeoutExpired as late:
        out.add("benchmarks/mixed.py", f"not done within {late.timeout:.0f} s", None if plan.small else False)
        return
    if done.returncode:
        out.add("benchmarks/mixed.py", done.stderr.strip().splitlines()[-1], False)
        return
    for line in done.stdout.strip().splitlines()[-MIXED:]:
        what, _, figure = line.rpartition(": ")
        out.add(what, figure)


def training(plan: Plan, out: RowWriter) -> None:
    """Rows or tokens a second of each recipe, on data made here: small, so that it says nothing of loading files."""
    from benchmarks.gpu_check import training_data

    with tempfile.TemporaryDirectory() as folder:
        runs = training_data.runs(Path(folder), plan.small)
        for number, (name, command) in enumerate(runs.items()):
            share = plan.left / (len(runs) - number)
            minutes = 0.02 if plan.small else max(0.1, min(0.4, share / 120))
            place = Path(folder, "runs", name)
            begin = [sys.executable, "-m", "mmgen", "train", *command, "--out", str(place), "--minutes", f"{minutes:.3f}"]
            try:
                done = subprocess.run(begin, cwd=ROOT, capture_output=True, text=True, timeout=max(30.0, plan.left))
            except subprocess.TimeoutExpired as late:
                out.add(name, f"not done within {late.timeout:.0f} s", None if plan.small else False)
                continue
            figure = training_data.speed(place) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
            out.add(name, figure, done.returncode == 0)


PARTS: dict[str, Callable[[Plan, RowWriter], None]] = {
    one.__name__: one for one in (machine, correctness, batches, decoding, denoising, packed, memory, mixed, training)
}
