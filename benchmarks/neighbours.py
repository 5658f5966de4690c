"""How OpenMP's threads wait, quiet and beside as many busy processes as there are cores: `python benchmarks/neighbours.py`.

Each policy runs the same work in a process of its own, by turns: tokens of a language model, an image, vectors of sentences.
With busy neighbours fair shares leave it half of the processor, so that it must take twice as long; what it takes beyond is
what threads lose that wait for one which the system has put aside.

- short: what mmgen's commands set (mmgen/cli/main.py): a look of some ten microseconds, then sleep
- default: OpenMP's own, a look of milliseconds
- passive: sleep at once
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmgen.cli.main import WAITING
from mmgen.config import load_runtime
from mmgen.errors import MmgenError

POLICIES = {"short": WAITING, "default": {}, "passive": {"OMP_WAIT_POLICY": "passive"}}
WORKS = ("text", "image", "vectors")
LIMIT = 1.6


def work(name: str, reference: str) -> Callable[[], object]:
    import mmgen

    if name == "text":
        write = mmgen.pipeline("text", model=reference)
        return lambda: write("Once upon a time", max_tokens=48, temperature=0, seed=0)
    if name == "image":
        draw = mmgen.pipeline("txt2img", model=reference)
        return lambda: draw("a red apple", seed=1, steps=8)
    encoder = mmgen.Runtime.shared().encoder(reference)
    texts = [f"{number} ships lay in the harbour, and their lamps were lit at dusk." for number in range(64)]
    return lambda: encoder.embed_text(texts)


def worker(references: dict[str, str], seconds: float) -> None:
    """Milliseconds of each work, the median of as many runs as fit, a line each."""
    import mmgen

    for name, reference in references.items():
        once = work(name, reference)
        once()
        took, end = list[float](), time.perf_counter() + seconds
        while not took or time.perf_counter() < end:
            began = time.perf_counter()
            once()
            took.append(1000 * (time.perf_counter() - began))
        print(name, statistics.median(took), flush=True)
    mmgen.Runtime.shared().close()


@contextmanager
def busy(count: int) -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def measured(policy: str, references: dict[str, str], seconds: float) -> dict[str, float]:
    """Milliseconds of each work under a policy."""
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", *WAITING)}
    command = [sys.executable, __file__, "--seconds", str(seconds), "--worker", json.dumps(references)]
    made = subprocess.run(command, env={**environment, **POLICIES[policy]}, stdout=subprocess.PIPE, text=True, check=True)
    return {name: float(took) for name, took in map(str.split, made.stdout.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--model", default="embedded:smollm2", help="language model of the text")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each work in each turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.seconds)
        return
    from setting import setting, settled

    from mmgen import hub

    if "text" in args.works:
        try:
            hub.resolve(args.model, kind="text")
        except MmgenError as why:
            sys.exit(f"{why}; or name another with --model, such as embedded:books, or leave text out of --works")
    cores = len(os.sched_getaffinity(0))
    models = {"text": args.model, "image": load_runtime().denoiser, "vectors": load_runtime().encoder}
    precisions = settled([models[name] for name in args.works])  # else another would be chosen beside neighbours than without
    references = {name: "#".join(filter(None, (models[name], precisions[models[name]]))) for name in args.works}
    print(setting(mmgen=", ".join(references.values())), f"\n{cores} busy neighbours, medians of {args.repeats} turns")
    found: dict[tuple[str, bool], list[dict[str, float]]] = {}
    for _ in range(args.repeats):
        for policy in args.policies:
            for beside in (False, True):
                with busy(cores if beside else 0):
                    found.setdefault((policy, beside), []).append(measured(policy, references, args.seconds))
    print(f"{'policy':10}{'work':10}{'quiet':>10}{'busy':>10}  of twice the quiet time")
    for policy in args.policies:
        for name in args.works:
            quiet, beside = (statistics.median(one[name] for one in found[policy, side]) for side in (False, True))
            told = "" if beside <= 2 * LIMIT * quiet else f" (over {LIMIT}x)"
            print(f"{policy:10}{name:10}{quiet:7.0f} ms{beside:7.0f} ms  {beside / (2 * quiet):.2f}x{told}")


if __name__ == "__main__":
    main()
