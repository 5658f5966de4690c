"""The server's memory under many mixed clients: whether it comes to rest. The verdict comes last.

python benchmarks/serve_memory.py [--seconds 600] [--clients 32] [--chat embedded:smollm2]
Every client makes calls of all kinds one after another, no text twice: streamed chats with prompts of 20 to 300 words, images
and embeddings. Resident memory of the process, Python's objects and threads are told at each
tenth of the time. What the second half grows by is the slope of a line through its samples (least squares). Exits with 1 where
a call failed.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from serve import ask, chat, embed, image, served

from mmgen import hub
from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime

WORDS = "red lamp river stone under over slow bright apple window tower garden seven morning".split()  # noqa: SIM905  a list of words
PART = 8
"""Calls of a client before the plan is made anew."""
TARGET = 5.0
"""MiB a minute."""


def calls(draw: random.Random, model: str, clients: int) -> list[list[dict[str, Any]]]:
    def words(most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(20, most))) + f" {draw.random()}"

    def one(number: int) -> dict[str, Any]:
        kind = number % 4
        if kind < 2:
            return chat(model, words(300), 24)
        return image(f"a {draw.choice(WORDS)} {draw.random()}") if kind == 2 else embed([words(100) for _ in range(8)])

    return [[one(client + number) for number in range(PART)] for client in range(clients)]


class Watch:
    """The resident memory of this process, twice a second, and at each tenth of the time what is known of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began = seconds, time.monotonic()
        self.samples: list[tuple[float, float]] = []  # seconds, MiB
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    def _run(self) -> None:
        me, told = psutil.Process(), 0
        while not self._ended.wait(0.5):
            at = time.monotonic() - self.began
            self.samples.append((at, me.memory_info().rss / 2**20))
            if at > (told + 1) * self.seconds / 10:
                told += 1
                counts = f"{len(gc.get_objects())} Python objects, {me.num_threads()} threads"
                print(f"  {at:5.0f} s: {self.samples[-1][1]:6.0f} MiB, {counts}", flush=True)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def slope(self) -> float:
        """MiB a minute, in the second half."""
        second = [(at, size) for at, size in self.samples if at > self.samples[-1][0] / 2]
        return 60 * statistics.linear_regression(*zip(*second, strict=True)).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--chat", default="embedded:smollm2")
    args = parser.parse_args()
    draw, results = random.Random(1), list[dict[str, Any]]()
    where = hub.resolve(args.chat, kind="text")  # before the home is another one
    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(RuntimeConfig(home=Path(folder) / "home")) as rt,
        served(rt, models=(f"chat={where}",)) as port,
    ):
        watch = Watch(args.seconds)
        while watch.left > 0:
            results += ask(port, calls(draw, "chat", args.clients), watch.left)[0]
        watch.end()
    failed = [one for one in results if not one["done"]]
    for one in failed[:3]:
        print(f"  failed: {one['status']} {one['answer']}")
    whole = watch.samples[-1][0]
    parts = [[size for at, size in watch.samples if int(10 * at / whole) == part] for part in range(10)]
    print("  MiB at most in each tenth:", *(f"{max(part):.0f}" if part else "-" for part in parts))
    print(f"{len(results)} calls of {args.clients} clients in {whole:.0f} s, {len(failed)} failed")
    print(f"memory in the second half: {watch.slope():+.1f} MiB a minute (target {TARGET:g} at most)")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
