"""The server's memory under many mixed clients: whether it comes to rest. Ratios last.

python benchmarks/serve_memory.py [--seconds 600] [--clients 64] [--chat embedded:smollm2]
Every client makes calls of all kinds one after another, no text twice: streamed chats with prompts of 20 to 300 words, images
and embeddings. The process's resident memory is told for each tenth of the time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from serve import ask, chat, embed, image, served

from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime

WORDS = "red lamp river stone under over slow bright apple window tower garden seven morning".split()  # noqa: SIM905  a list of words
PART = 3
"""Calls of a client before the plan is made anew."""


def calls(draw: random.Random, model: str, clients: int) -> list[list[dict[str, Any]]]:
    def words(most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(20, most))) + f" {draw.random()}"

    def one(number: int) -> dict[str, Any]:
        kind = number % 4
        if kind < 2:
            return chat(model, words(300), 24)
        return image(f"a {draw.choice(WORDS)} {draw.random()}") if kind == 2 else embed([words(100) for _ in range(8)])

    return [[one(client + number) for number in range(PART)] for client in range(clients)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--chat", default="embedded:smollm2")
    args = parser.parse_args()
    draw, me, samples, ended = random.Random(1), psutil.Process(), list[tuple[float, float]](), threading.Event()
    began, failed, done = time.monotonic(), 0, 0

    def watch() -> None:
        while not ended.wait(0.5):
            samples.append((time.monotonic() - began, me.memory_info().rss / 2**20))

    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(RuntimeConfig(home=Path(folder) / "home")) as rt,
        served(rt) as port,
    ):
        watching = threading.Thread(target=watch)
        watching.start()
        while time.monotonic() - began < args.seconds:
            results, _ = ask(port, calls(draw, args.chat, args.clients))
            done, failed = done + len(results), failed + sum(not one["done"] for one in results)
        ended.set()
        watching.join()
    whole = samples[-1][0]
    tenths = [[size for at, size in samples if int(10 * at / whole) == part] for part in range(10)]
    print(
        f"  {done} calls, {failed} failed; MiB at most in each tenth of {whole:.0f} s:",
        *(f"{max(part):.0f}" for part in tenths),
    )
    last, middle = max(map(max, tenths[8:])), max(map(max, tenths[4:6]))
    print(f"memory at the end against the middle: {last / middle:.3f} (target 1.05 at most)")


if __name__ == "__main__":
    main()
